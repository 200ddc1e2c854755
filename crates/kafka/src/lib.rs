//! A thin layer on `rdkafka`: what the parts need of Kafka, and nothing of MQTT or vehicles.
//!
//! - [`Settings`]: how to reach the cluster
//! - [`admin`]: is it there, make topics
//! - [`Producer`]: acknowledged, idempotent, bounded
//! - [`Tail`]: follows the end of any number of topics
//! - [`read_to_end`]: reads what a topic holds now
//! - [`Ends`]: where a topic ends, for lag

pub mod admin;
mod ends;
mod error;
mod producer;
mod quiet;
mod reader;
mod record;
mod settings;
mod tail;

pub use ends::{Bounds, Ends};
pub use error::Error;
pub use producer::{Full, OnDelivery, Producer, ToSend};
pub use reader::read_to_end;
pub use record::{Position, Record};
pub use settings::Settings;
pub use tail::{Start, Tail};
