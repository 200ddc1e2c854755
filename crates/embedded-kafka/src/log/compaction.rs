//! Compaction: of each key only the newest record stays.
//!
//! A pass looks at the closed segments before the first open transaction, learns the newest offset of each key, and
//! writes what is still wanted to new segments that take the place of the old ones. Offsets never change.
//! Records of aborted transactions go. Tombstones and transaction markers stay until every reader had
//! `delete.retention.ms` to see them. The newest batch of a producer (its sequence number) and the last batch of the
//! pass (so that no reader waits for an offset that is not there) stay as empty batches if all their records go.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::batch::{self, HEADER_BYTES, Header, Record};
use super::partition::{Partition, write_atomically};
use super::producers::Aborted;
use super::segment::{self, Segment, read_batch};
use super::LogConfig;

/// Keys one pass learns, 24 bytes each: it cleans up to where they fill the map, the next pass goes on from there.
const KEYS_MAX: usize = 1 << 20;
const CHECKPOINT: &str = "cleaned";

/// How far the log is clean, and since when: `(offset, ms since the epoch)`, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoint(Vec<(i64, i64)>);

impl Checkpoint {
    /// A missing or unreadable file only makes the next pass start from the beginning.
    pub(super) fn load(dir: &Path) -> Checkpoint {
        let text = fs::read_to_string(dir.join(CHECKPOINT)).unwrap_or_default();
        let parse = |line: &str| line.split_once(' ').and_then(|(o, t)| Some((o.parse().ok()?, t.parse().ok()?)));
        Checkpoint(text.lines().filter_map(parse).collect())
    }

    fn cleaned_until(&self) -> i64 {
        self.0.last().map_or(0, |&(offset, _)| offset)
    }

    /// Tombstones before this offset have been in the clean part for `retention_ms`.
    fn expired_before(&self, retention_ms: i64, now: i64) -> i64 {
        self.0.iter().filter(|(_, since)| now - since >= retention_ms).map(|&(offset, _)| offset).max().unwrap_or(0)
    }

    fn advance(&mut self, until: i64, retention_ms: i64, now: i64) {
        // One point each 16th of the retention is exact enough, and bounds the list.
        let expired = self.expired_before(retention_ms, now);
        self.0.retain(|&(offset, _)| offset >= expired);
        let close = |&mut (_, since): &mut (i64, i64)| now - since < retention_ms / 16;
        match self.0.last_mut().filter(|_| self_len_over_one(expired)).filter(|last| close(last)) {
            Some(last) => *last = (until, now),
            None => self.0.push((until, now)),
        }
    }
}
