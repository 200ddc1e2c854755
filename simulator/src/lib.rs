//! Vehicles on real roads, one MQTT client each.
//!
//! Data goes one way: a map file becomes a road graph ([`map`]), a pair of places becomes a route ([`route`]), a route
//! becomes positions over time ([`motion`]), trips follow one another ([`trip`], [`vehicle`]), and each vehicle
//! publishes its positions (`agent`) on its own connection (`connection`, `client`). Everything up to [`vehicle`] is pure: no clock, no
//! sockets, one seed decides all of it.

pub mod config;
pub mod map;
pub mod route;
pub mod scenario;

pub mod motion;

pub mod demand;
pub mod identity;
pub mod timeline;
pub mod trip;
pub mod vehicle;
pub mod world;

mod agent;
mod checkpoint;
mod client;
mod commands;
mod connection;
mod fleet;
mod limits;
mod metrics;
mod router;

pub use config::Config;
pub use fleet::Simulator;
