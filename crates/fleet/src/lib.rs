//! The fleet's domain: what a vehicle says, how it is spelled in JSON, and under which MQTT topic.
//!
//! This crate does no IO and reads no clock. It is the only place that spells the fleet's topics and JSON;
//! `samples/*.json` are golden messages that the Rust and the TypeScript tests both read.
//!
//! - [`vehicle`]: a position and its wire form
//! - [`cell`]: the squares of the map, by geohash
//! - [`totals`]: totals by company, direction, cell and minute
//! - [`alert`]: what somebody should look at
//! - [`frame`]: all vehicles of a cell in one binary message
//! - [`command`]: what a vehicle can be told, and its answer
//! - [`topics`]: MQTT topic names
//! - [`geo`]: distances and bearings on the sphere

pub mod alert;
pub mod cell;
pub mod command;
pub mod frame;
pub mod geo;
pub mod topics;
pub mod totals;
pub mod vehicle;

pub use alert::{Alert, AlertKind};
pub use cell::{Cell, InvalidCell};
pub use command::{Command, Reply};
pub use frame::Frame;
pub use geo::LatLng;
pub use topics::Topics;
pub use totals::{CellTotal, CompanyTotal, Direction, DirectionTotal, MinuteTotal};
pub use vehicle::{InvalidPosition, Kind, Plate, Position, Status};
