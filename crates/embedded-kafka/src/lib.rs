//! One-node Kafka-protocol server: durable, in the process, for demos, edge boxes and tests.
//!
//! ```no_run
//! # async fn run() -> Result<(), embedded_kafka::Error> {
//! let server = embedded_kafka::Server::start(embedded_kafka::Config::new("kafka-data")).await?;
//! println!("kafka at {}", server.bootstrap_servers());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! It speaks to librdkafka, kcat and Java clients: produce, fetch, transactions, consumer groups, compaction,
//! retention and administration. An acknowledged record is in the page cache, so it survives the end of the process
//! however sudden; [`Config::flush_interval`] bounds what a power loss may cost. There is no replication and there are
//! no further nodes: whoever needs them points the same clients at Apache Kafka.

mod api;
mod config;
mod connection;
mod groups;
mod log;
mod node;
mod producer_ids;
mod server;
mod storage;
mod topics;
mod transactions;

pub use config::Config;
pub use server::{Error, Server};
