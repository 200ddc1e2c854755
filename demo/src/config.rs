//! The demo's settings.

use std::path::PathBuf;

use fleet::Kind;

/// A live fleet on a map: embedded Kafka, MQTT broker, simulator, aggregator and web UI in one process.
///
/// Everything listens on this machine only. The ports' variables are those of the parts.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "convoy", version)]
pub struct Config {
    /// How many vehicles
    #[arg(
        long,
        env = "VEHICLES_TOTAL_NUMBER",
        value_name = "N",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub vehicles: u32,
    /// What drives: taxi (Manhattan) or truck (Italy)
    #[arg(long, env = "KIND", default_value_t = Kind::Taxi)]
    pub kind: Kind,
    /// Map to drive on instead of the shipped one
    #[arg(long, env = "MAP", value_name = "FILE.osm.pbf")]
    pub map: Option<PathBuf>,
    /// What drives where, as a file: several fleets on one map (the format: data/README.md)
    #[arg(long, env = "SCENARIO", value_name = "FILE.toml",
          conflicts_with_all = ["map", "kind", "vehicles"])]
    pub scenario: Option<PathBuf>,
    /// Decides places, trips and passengers
    #[arg(long, env = "SEED", value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How much faster than on the wall clock time passes for the vehicles: 0.1 to 100
    #[arg(long, env = "SPEED", value_name = "FACTOR", default_value = "1")]
    pub speed: String,
    /// When it is for the vehicles when they begin: demand differs by the hour
    #[arg(
        long,
        env = "START_TIME",
        value_name = "HH:MM",
        default_value = "08:00"
    )]
    pub start_time: String,
    /// File in which the vehicles are kept, so that the next start goes on from there
    #[arg(long, env = "STATE_FILE", value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// Seconds after which a vehicle that sends nothing leaves the totals
    #[arg(long, env = "SILENT_AFTER_S", value_name = "S", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub silent_after_s: u64,
    /// A Kafka to use instead of the embedded one: host:port, comma-separated
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", value_name = "HOST:PORT")]
    pub kafka_bootstrap_servers: Option<String>,
    /// Where the embedded Kafka keeps its data; unless given, it is forgotten at the end
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The page; 0 picks a free port, here and below
    #[arg(long, env = "WEB_UI_PORT", value_name = "PORT", default_value_t = 8080)]
    pub web_ui_port: u16,
    /// MQTT over TCP
    #[arg(long, env = "MQTT_PORT", value_name = "PORT", default_value_t = 1883)]
    pub mqtt_port: u16,
    /// MQTT over WebSocket
    #[arg(
        long,
        env = "MQTT_WS_PORT",
        value_name = "PORT",
        default_value_t = 1893
    )]
    pub mqtt_ws_port: u16,
    /// The broker's metrics
    #[arg(
        long,
        env = "MONITORING_PORT",
        value_name = "PORT",
        default_value_t = 1884
    )]
    pub monitoring_port: u16,
    /// The simulator's metrics
    #[arg(
        long,
        env = "SIMULATOR_METRICS_PORT",
        value_name = "PORT",
        default_value_t = 8091
    )]
    pub simulator_metrics_port: u16,
    /// The aggregator's metrics
    #[arg(
        long,
        env = "AGGREGATOR_METRICS_PORT",
        value_name = "PORT",
        default_value_t = 8092
    )]
    pub aggregator_metrics_port: u16,
}

impl Config {
    /// The defaults, with every port picked by the system and quiet about it: for tests and other programs.
    ///
    /// # Panics
    /// When a variable that the demo reads holds something that does not fit.
    pub fn on_free_ports() -> Self {
        let ports = [
            "web-ui",
            "mqtt",
            "mqtt-ws",
            "monitoring",
            "simulator-metrics",
            "aggregator-metrics",
        ];
        let flags = ports.map(|port| format!("--{port}-port=0"));
        <Self as clap::Parser>::parse_from(std::iter::once("convoy".to_owned()).chain(flags))
    }
}
