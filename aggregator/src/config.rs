//! The settings of the aggregator: each is a flag and an environment variable.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use fleet::topics;

/// Adds up positions from Kafka by company and writes the totals to Kafka.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "aggregator", version)]
pub struct Config {
    /// Kafka: `host:port`, comma-separated.
    #[arg(
        long = "kafka-bootstrap-servers",
        id = "kafka_bootstrap_servers",
        env = "KAFKA_BOOTSTRAP_SERVERS",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    pub bootstrap_servers: String,
    /// Kafka topic to read positions from, keyed by plate.
    #[arg(long, env = "VEHICLE_UPDATES_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_VEHICLE_UPDATES)]
    pub updates_topic: String,
    /// Kafka topic (compacted) to write totals to, keyed by company.
    #[arg(long, env = "COMPANY_PASSENGERS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_COMPANY_PASSENGERS)]
    pub company_topic: String,
    /// Kafka topic for records that are no positions, with the reason in their headers.
    #[arg(long, env = "DEAD_LETTERS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_DEAD_LETTERS)]
    pub dead_letters_topic: String,
    /// Milliseconds between two totals of a company, at least.
    #[arg(long, env = "PUBLISH_INTERVAL_MS", value_name = "MS", default_value_t = 500,
          value_parser = RangedU64ValueParser::<u64>::new().range(10..=60_000))]
    pub publish_interval_ms: u64,
    /// Port of `/live`, `/ready` and `/metrics`; 0 picks a free one.
    #[arg(
        long,
        env = "AGGREGATOR_METRICS_PORT",
        value_name = "PORT",
        default_value_t = 8092
    )]
    pub metrics_port: u16,
    /// Address that port listens on.
    #[arg(
        long,
        env = "AGGREGATOR_LISTEN_ADDRESS",
        value_name = "IP",
        default_value = "127.0.0.1"
    )]
    pub listen_address: IpAddr,
    /// Settings of the Kafka client by librdkafka's names: the `[kafka]` table of the settings file.
    #[arg(skip)]
    pub kafka: Vec<(String, String)>,
}

impl Config {
    /// How to reach Kafka.
    pub(crate) fn kafka_settings(&self) -> kafka::Settings {
        kafka::Settings::new(&self.bootstrap_servers).with(self.kafka.iter().cloned())
    }

    /// The time between two totals of a company.
    pub(crate) fn publish_interval(&self) -> Duration {
        Duration::from_millis(self.publish_interval_ms)
    }
}
