//! The settings of the aggregator: each is a flag and an environment variable.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use fleet::topics;

use crate::alerts::Limits;

/// Adds up positions from Kafka by company, direction, map cell and minute, watches for alerts, and writes all that to
/// Kafka. Several share the work.
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
    /// Kafka topic (compacted) to write totals to, keyed by direction of travel.
    #[arg(long, env = "DIRECTION_STATS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_DIRECTION_STATS)]
    pub direction_topic: String,
    /// Kafka topic (compacted) to write totals to, keyed by geohash.
    #[arg(long, env = "CELL_STATS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_CELL_STATS)]
    pub cell_topic: String,
    /// Kafka topic to write totals to, keyed by the minute's start.
    #[arg(long, env = "MINUTE_STATS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_MINUTE_STATS)]
    pub minute_topic: String,
    /// Kafka topic (compacted) to write alerts to, keyed by `<kind>/<plate>`.
    #[arg(long, env = "FLEET_ALERTS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_FLEET_ALERTS)]
    pub alerts_topic: String,
    /// Kafka topic to write the map's frames to, keyed by geohash.
    #[arg(long, env = "MAP_FRAMES_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_MAP_FRAMES)]
    pub map_topic: String,
    /// Kafka topic for records that are no positions, with the reason in their headers.
    #[arg(long, env = "DEAD_LETTERS_TOPIC", value_name = "TOPIC",
          default_value = topics::KAFKA_DEAD_LETTERS)]
    pub dead_letters_topic: String,
    /// Names the consumer groups (this, and this with `-totals`) whose members share the work, and the topics in which
    /// they keep what they know (this with `-state` and `-parts`).
    #[arg(
        long,
        env = "AGGREGATOR_GROUP",
        value_name = "NAME",
        default_value = "aggregator"
    )]
    pub group: String,
    /// Seconds after which a vehicle that sends nothing is offline and leaves the totals.
    #[arg(long, env = "SILENT_AFTER_S", value_name = "S", default_value_t = 30,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub silent_after_s: u64,
    /// Seconds after which an alert says that a vehicle stands.
    #[arg(long, env = "STOPPED_AFTER_S", value_name = "S", default_value_t = 300,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub stopped_after_s: u64,
    /// Seconds for which a minute takes late positions after others are newer than its end.
    #[arg(long, env = "ALLOWED_LATENESS_S", value_name = "S", default_value_t = 60,
          value_parser = RangedU64ValueParser::<u64>::new().range(0..=1_200))]
    pub allowed_lateness_s: u64,
    /// Milliseconds between two totals of a company, at least; what they come from is committed twice as often.
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

    /// When to alert.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            silent_after_ms: self.silent_after_s * 1000,
            stopped_after_ms: self.stopped_after_s * 1000,
        }
    }

    /// Topic of what is known about each partition.
    pub(crate) fn state_topic(&self) -> String {
        format!("{}-state", self.group)
    }

    /// Topic of the parts of totals.
    pub(crate) fn parts_topic(&self) -> String {
        format!("{}-parts", self.group)
    }

    /// The time between two totals of a company.
    pub(crate) fn publish_interval(&self) -> Duration {
        Duration::from_millis(self.publish_interval_ms)
    }
}
