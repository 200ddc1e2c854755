//! Chaos: brokers and Kafka nodes are killed, stopped and started again under the load of many MQTT clients; what the
//! clients saw is checked against what was promised.
//!
//! In reading order:
//!
//! - [`run()`]: a run from its beginning to its end
//! - [`fault`]: which faults there are, and in which order they come
//! - `keeper`: does harm to the processes of `broker_node` and `kafka_nodes`, and brings them back
//! - `client`: a client on [`wire`], with the two halves of its session, [`outgoing`] and [`incoming`]
//! - `topology`: who listens to whom
//! - `log`: what happened; its `checker` knows which promises that breaks
//! - [`report`]: the same for people; `stored` looks into Kafka for what is wrong
//!
//! Other tests use [`wire`], [`outgoing`] and [`incoming`] for clients of their own.

mod broker_node;
pub mod checker;
mod client;
pub mod fault;
mod in_sync;
pub mod incoming;
mod kafka_nodes;
mod keeper;
mod log;
pub mod outgoing;
mod ports;
pub mod report;
pub mod run;
mod signal;
mod stored;
mod topology;
pub mod wire;

pub use fault::FaultKind;
pub use report::Report;
pub use run::{Options, any_seed, run};
