//! The fleet's domain: what a vehicle says, how it is spelled in JSON, and under which MQTT topic.
//!
//! This crate does no IO and reads no clock. It is the only place that spells the fleet's topics and JSON;
//! `samples/*.json` are golden messages that the Rust and the TypeScript tests both read.
//!
//! - [`vehicle`]: a position and its wire form
//! - [`command`]: what a vehicle can be told, and its answer
//! - [`totals`]: totals by company
//! - [`topics`]: MQTT topic names
//! - [`geo`]: distances and bearings on the sphere

pub mod command;
pub mod geo;
pub mod topics;
pub mod totals;
pub mod vehicle;

pub use command::{Command, Reply};
pub use geo::LatLng;
pub use topics::Topics;
pub use totals::CompanyTotal;
pub use vehicle::{InvalidPosition, Kind, Plate, Position, Status};
