//! The log on disk: record batches in segments, one directory a partition.

pub(crate) mod batch;
mod checkpoint;
mod compaction;
mod compression;
pub(crate) mod config;
mod index;
pub(crate) mod partition;
mod producers;
mod reading;
mod records;
mod retention;
pub(crate) mod segment;

pub(crate) use config::LogConfig;
pub(crate) use partition::{Isolation, Partition};
pub(crate) use producers::Aborted;
