//! The log on disk: record batches in segments, one directory a partition.

pub(crate) mod batch;
pub(crate) mod compaction;
pub(crate) mod config;
mod index;
pub(crate) mod partition;
mod producers;
pub(crate) mod segment;

pub(crate) use config::LogConfig;
pub(crate) use partition::{Isolation, Partition};
pub(crate) use producers::Aborted;
