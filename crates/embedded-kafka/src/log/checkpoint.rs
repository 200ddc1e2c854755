//! How far compaction has come, and since when.

use std::fs;
use std::io;
use std::path::Path;

use crate::storage::write_atomically;

const CHECKPOINT: &str = "cleaned";

/// How far the log is clean and since when, kept in a file of the partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoint {
    /// `(offset, ms since the epoch)`, oldest first.
    points: Vec<(i64, i64)>,
    /// Tombstones before this offset are gone.
    pub(super) purged: i64,
}

impl Checkpoint {
    /// A missing or unreadable file only makes the next pass start from the beginning.
    pub(super) fn load(dir: &Path) -> Checkpoint {
        let text = fs::read_to_string(dir.join(CHECKPOINT)).unwrap_or_default();
        let parse = |line: &str| {
            line.split_once(' ')
                .and_then(|(o, t)| Some((o.parse().ok()?, t.parse().ok()?)))
        };
        Checkpoint {
            points: text.lines().filter_map(parse).collect(),
            purged: 0,
        }
    }

    pub(super) fn store(&self, dir: &Path) -> io::Result<()> {
        let text: String = self
            .points
            .iter()
            .map(|(offset, since)| format!("{offset} {since}\n"))
            .collect();
        write_atomically(&dir.join(CHECKPOINT), text.as_bytes())
    }

    pub(super) fn cleaned_until(&self) -> i64 {
        self.points.last().map_or(0, |&(offset, _)| offset)
    }

    /// Tombstones before this offset have been in the clean part for `retention_ms`.
    pub(super) fn expired_before(&self, retention_ms: i64, now: i64) -> i64 {
        self.points
            .iter()
            .rev()
            .find(|(_, since)| now - since >= retention_ms)
            .map_or(0, |&(offset, _)| offset)
    }

    pub(super) fn advance(&mut self, until: i64, purged: i64, retention_ms: i64, now: i64) {
        self.purged = purged;
        self.points.retain(|&(offset, _)| offset >= purged);
        // A point for each 16th of the retention is exact enough, and bounds the list.
        let bucket = |ms: i64| ms / (retention_ms / 16).max(1);
        self.points
            .pop_if(|&mut (_, since)| bucket(since) == bucket(now));
        self.points.push((until, now));
    }
}
