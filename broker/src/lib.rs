//! MQTT on Kafka: a broker that keeps nothing itself.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let flags = ["broker", "--mqtt-port", "0", "--authentication-required", "false"];
//! let settings = service::config::load(flags.map(Into::into).to_vec(), broker::TABLES)
//!     .map_err(|_| anyhow::anyhow!("bad settings"))?;
//! let broker = broker::Broker::start(settings, service::Shutdown::new()).await?;
//! println!("mqtt on {}", broker.mqtt_addr());
//! # Ok(()) }
//! ```
//!
//! A message goes one way: a client's packet is decoded and checked by the session (`mqtt`), authorised (`acl`),
//! mapped (`rules`) and appended to Kafka (`ingress`). It comes back from Kafka (`egress`), is matched once against
//! all subscriptions (`subscriptions`) and put into the mailboxes (`mailbox`) of the connections that want it. Ingress
//! never calls egress: what a subscriber gets came from Kafka, also when the publisher is on the same node.

mod acl;
mod admission;
mod auth;
mod authenticating;
mod catch_up;
mod check_config;
mod client;
mod command;
mod config;
mod connection;
mod cursors;
mod due;
mod egress;
mod farewell;
mod ingress;
mod ledger;
mod listener;
mod logs;
mod mailbox;
mod membership;
mod metrics;
mod node;
mod ownership;
mod record;
mod replay;
mod retained;
mod routed;
mod rules;
mod session_record;
mod sessions;
mod share;
#[cfg(test)]
mod simulation;
mod start;
mod subscribing;
mod subscriptions;
mod sys;
mod transport;

pub use auth::{JwtConfig, Secret, hash_password};
pub use check_config::check_config;
pub use config::Config;
pub use start::{Broker, TABLES};
