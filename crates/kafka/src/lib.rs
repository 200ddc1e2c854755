//! A thin layer on `rdkafka`: what the parts need of Kafka, and nothing of MQTT or vehicles.
//!
//! - [`Settings`]: how to reach the cluster
//! - [`admin`]: is it there, make topics
//! - [`Producer`]: acknowledged, idempotent, bounded
//! - [`Transactions`]: stores records together
//! - [`Tail`]: follows the end of any number of topics
//! - [`read_to_end`]: reads what a topic holds now
//! - [`Cursor`]: reads a partition from any offset
//! - [`Lookup`]: single records by their offsets
//! - [`Member`]: shares partitions out by a consumer group
//! - [`exactly_once`]: reads as a member of a group, and stores what follows together with how far it has read
//! - [`Ends`]: where a topic ends, for lag
//! - [`thread`]: threads that others wait for

pub mod admin;
mod cursor;
mod ends;
mod error;
pub mod exactly_once;
mod lookup;
mod member;
mod partition;
mod producer;
mod quiet;
mod reader;
mod record;
mod settings;
mod tail;
pub mod thread;
mod transactions;
mod window;

pub use cursor::{Cursor, Found};
pub use ends::{Bounds, Ends};
pub use error::Error;
pub use lookup::{Lookup, Place};
pub use member::{Group, Held, Member, Receiver, Taken};
pub use partition::partition_of;
pub use producer::{Full, NewRecord, OnDelivery, Producer, ToSend};
pub use quiet::Fetched;
pub use reader::read_to_end;
pub use record::{Position, Record};
pub use settings::Settings;
pub use tail::{Progress, Start, Tail};
pub use transactions::{Failed, Transactions};
