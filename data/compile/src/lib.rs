//! Compiles a map written as readable TOML to `.osm.pbf`.
//!
//! Read in this order: [`source`] is what a folder of TOML says; [`grid`], [`city`] and [`junction`] turn its
//! short forms into plain roads; [`roads`] collects them and [`network`] makes them share a node where they meet;
//! [`area`] clips shores; [`compile()`] puts it together; [`osm`] numbers it and [`pbf`] writes the bytes.

pub mod source;

pub mod area;
pub mod city;
pub mod compile;
pub mod geometry;
pub mod grid;
pub mod junction;
pub mod names;
pub mod network;
pub mod osm;
pub mod pbf;
pub mod road;
pub mod roads;
pub mod segments;

pub use compile::compile;
