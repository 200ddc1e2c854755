//! Settings of the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How the server runs; [`Config::new`] has a safe default for everything but the directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where topics, offsets and transactions are kept; made if it is not there. One server at a time.
    pub data_dir: PathBuf,
    /// Where to listen. Port 0 picks a free one. Default: loopback, port 0.
    pub listen: SocketAddr,
    /// The host name that clients are told to connect to. Default: the address they came in on.
    pub advertised_host: Option<String>,
    /// Whether a producer's first request for an unknown topic creates it. Default: yes.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created without saying how many. Default: 1, as Kafka.
    pub default_partitions: i32,
    /// Longest request in bytes; a longer one closes its connection. Default: 32 MiB.
    pub request_bytes_max: usize,
    /// Requests in memory at once over all connections, in bytes: beyond it connections wait. Default: 128 MiB.
    pub queued_bytes_max: usize,
    /// Connections at once; further ones are closed at once. Default: 1000.
    pub connections_max: usize,
    /// A connection that is silent, or does not take its answers, for so long is closed. Default: 10 minutes.
    pub idle_timeout: Duration,
    /// How long an acknowledged record may wait for the disk (fsync): what a power loss may cost. Records survive the
    /// end of the process in any case. `None` leaves it to the operating system, as Kafka does. Default: 1 second.
    pub flush_interval: Option<Duration>,
    /// How often retention and compaction look for work. Default: 5 seconds.
    pub cleanup_interval: Duration,
}

impl Config {
    /// Loopback, a free port, Kafka's defaults.
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        Config {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertised_host: None,
            auto_create_topics: true,
            default_partitions: 1,
            request_bytes_max: 32 << 20,
            queued_bytes_max: 128 << 20,
            connections_max: 1000,
            idle_timeout: Duration::from_secs(600),
            flush_interval: Some(Duration::from_secs(1)),
            cleanup_interval: Duration::from_secs(5),
        }
    }
}
