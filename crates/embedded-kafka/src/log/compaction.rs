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
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::PathBuf;

use super::LogConfig;
use super::batch::{self, Header};
use super::checkpoint::Checkpoint;
use super::compression::{compress, payload};
use super::partition::Partition;
use super::records::{Record, records};
use super::segment::{Segment, read_batch};

/// Keys one pass learns, some 40 bytes each: it cleans up to where they fill the map, the next pass goes on from there.
const KEYS_MAX: usize = 1 << 20;

/// A closed segment as a pass found it.
struct Source {
    path: PathBuf,
    base_offset: i64,
    last_offset: i64,
    size: u64,
    first_append_ms: i64,
    last_append_ms: i64,
}

/// What one pass knows.
struct Pass {
    hashers: [RandomState; 2],
    newest: HashMap<u128, i64>,
    /// The pass ends before this offset.
    until: i64,
    /// Tombstones and markers before it go.
    expired: i64,
    /// First offset and marker of aborted transactions, by producer.
    aborted: HashMap<i64, Vec<Range<i64>>>,
    newest_of_producers: HashSet<i64>,
    dropped_markers: Vec<i64>,
}

impl Partition {
    /// One pass, if there is enough to clean. Takes as long as reading and writing the log: not for an async task.
    pub(crate) fn compact(&self, config: &LogConfig, now: i64) -> io::Result<()> {
        let Some((sources, mut pass, mut checkpoint)) = self.plan(config, now) else {
            return Ok(());
        };
        let clean = checkpoint.cleaned_until();
        pass.learn(
            sources.iter().filter(|source| source.last_offset >= clean),
            clean,
        )?;
        let mut group: Vec<&Source> = Vec::new();
        for source in &sources {
            let size: u64 = group.iter().map(|source| source.size).sum();
            let span = group
                .first()
                .map_or(0, |first| source.last_offset - first.base_offset);
            if size + source.size > config.segment_bytes || span > i64::from(i32::MAX) / 2 {
                self.rewrite(&std::mem::take(&mut group), &mut pass)?;
            }
            group.push(source);
        }
        self.rewrite(&group, &mut pass)?;
        checkpoint.advance(pass.until, pass.expired, config.delete_retention_ms, now);
        let mut log = self.log.lock();
        log.producers.forget_aborted(&pass.dropped_markers);
        if !log.deleted {
            checkpoint.store(&self.dir)?;
            log.checkpoint = checkpoint;
        }
        Ok(())
    }

    fn plan(&self, config: &LogConfig, now: i64) -> Option<(Vec<Source>, Pass, Checkpoint)> {
        let log = self.log.lock();
        let (_, closed) = log.segments.split_last()?;
        let open = log.producers.first_open_offset().unwrap_or(i64::MAX);
        let settled = |segment: &&Segment| {
            segment.last_offset < open
                && now - segment.last_append_ms >= config.min_compaction_lag_ms
        };
        let sources: Vec<Source> = closed
            .iter()
            .take_while(settled)
            .map(Source::from)
            .collect();
        let until = sources.last()?.last_offset + 1;
        let clean = log.checkpoint.cleaned_until();
        let expired = log
            .checkpoint
            .expired_before(config.delete_retention_ms, now);
        let total: u64 = sources.iter().map(|source| source.size).sum();
        let dirty: u64 = sources
            .iter()
            .filter(|source| source.last_offset >= clean)
            .map(|source| source.size)
            .sum();
        let due = dirty > 0 && dirty as f64 >= total as f64 * config.min_dirty_ratio;
        if log.deleted || !due && expired <= log.checkpoint.purged {
            return None;
        }
        let mut aborted: HashMap<i64, Vec<Range<i64>>> = HashMap::new();
        for one in log.producers.aborted_in(0, until) {
            aborted
                .entry(one.producer_id)
                .or_default()
                .push(one.first_offset..one.last_offset);
        }
        let pass = Pass {
            hashers: [RandomState::new(), RandomState::new()],
            newest: HashMap::new(),
            until,
            expired,
            aborted,
            newest_of_producers: log.producers.newest_batches(),
            dropped_markers: Vec::new(),
        };
        Some((sources, pass, log.checkpoint.clone()))
    }

    /// Writes one segment in the place of several.
    fn rewrite(&self, group: &[&Source], pass: &mut Pass) -> io::Result<()> {
        let ([first, ..], Some(last)) = (group, group.last()) else {
            return Ok(());
        };
        let mut draft = Segment::draft(&self.dir, first.base_offset)?;
        for source in group {
            for_each_batch(source, |header, bytes| {
                match pass.filter(header, bytes, header.last_offset() == pass.until - 1)? {
                    Kept::All => draft.append(header, bytes, source.last_append_ms)?,
                    Kept::Some(header, bytes) => {
                        draft.append(&header, &bytes, source.last_append_ms)?
                    }
                    Kept::None => {}
                }
                Ok(true)
            })?;
        }
        draft.first_append_ms = first.first_append_ms;
        draft.set_last_append(last.last_append_ms)?;
        draft.file()?.sync_all()?;
        let mut log = self.log.lock();
        let start = log
            .segments
            .iter()
            .position(|segment| segment.base_offset == first.base_offset);
        let Some(start) = start.filter(|_| !log.deleted) else {
            return fs::remove_file(&draft.path);
        };
        draft.publish(&first.path)?;
        for merged in &group[1..] {
            fs::remove_file(&merged.path)?;
        }
        log.segments.splice(start..start + group.len(), [draft]);
        Ok(())
    }
}

impl From<&Segment> for Source {
    fn from(segment: &Segment) -> Source {
        Source {
            path: segment.path.clone(),
            base_offset: segment.base_offset,
            last_offset: segment.last_offset,
            size: segment.size,
            first_append_ms: segment.first_append_ms,
            last_append_ms: segment.last_append_ms,
        }
    }
}

enum Kept {
    All,
    Some(Header, Vec<u8>),
    None,
}

impl Pass {
    /// Learns the newest offset of each key in the part that is not clean.
    fn learn<'a>(&mut self, dirty: impl Iterator<Item = &'a Source>, clean: i64) -> io::Result<()> {
        for source in dirty {
            for_each_batch(source, |header, bytes| {
                if header.last_offset() < clean || header.is_control() || self.is_aborted(header) {
                    return Ok(true);
                }
                let unfolded = payload(header, bytes).ok_or(io::ErrorKind::InvalidData)?;
                for record in records(&unfolded).flatten() {
                    if let Some(key) = record.key {
                        self.newest.insert(
                            self.hash(key),
                            header.base_offset + i64::from(record.offset_delta),
                        );
                    }
                }
                if self.newest.len() < KEYS_MAX {
                    return Ok(true);
                }
                self.until = header.last_offset() + 1;
                Ok(false)
            })?;
            if self.newest.len() >= KEYS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// What stays of a batch.
    fn filter(&mut self, header: &Header, bytes: &[u8], is_last: bool) -> io::Result<Kept> {
        if header.base_offset >= self.until {
            return Ok(Kept::All);
        }
        let mut kept = Vec::new();
        let mut kept_count = 0;
        let mut max_timestamp = -1;
        if header.is_control() {
            if header.base_offset >= self.expired {
                return Ok(Kept::All);
            }
            self.dropped_markers.push(header.base_offset);
        } else if !self.is_aborted(header) {
            let unfolded = payload(header, bytes).ok_or(io::ErrorKind::InvalidData)?;
            for record in records(&unfolded)
                .flatten()
                .filter(|record| self.wants(header, record))
            {
                kept.extend(record.raw);
                kept_count += 1;
                max_timestamp = max_timestamp.max(header.timestamp_of(&record));
            }
            if kept_count == header.count && !header.is_transactional() {
                return Ok(Kept::All);
            }
        }
        let is_needed = is_last || self.newest_of_producers.contains(&header.base_offset);
        if kept_count == 0 && !is_needed {
            return Ok(Kept::None);
        }
        // What stays is committed, so it is plain from here on: recovery needs no marker to know that.
        let header = Header {
            count: kept_count,
            max_timestamp,
            ..header.settled(kept_count > 0)
        };
        let bytes = batch::encode(&header, &compress(header.codec(), &kept)?);
        Ok(Kept::Some(
            Header {
                total_bytes: bytes.len(),
                ..header
            },
            bytes,
        ))
    }

    fn wants(&self, header: &Header, record: &Record<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let offset = header.base_offset + i64::from(record.offset_delta);
        let is_newest = self
            .newest
            .get(&self.hash(key))
            .is_none_or(|&newest| offset >= newest);
        is_newest && (record.value.is_some() || offset >= self.expired)
    }

    fn is_aborted(&self, header: &Header) -> bool {
        let transactions = self
            .aborted
            .get(&header.producer_id)
            .filter(|_| header.is_transactional());
        transactions.is_some_and(|all| all.iter().any(|range| range.contains(&header.base_offset)))
    }

    /// 128 bits, keyed anew for each pass: no two keys of a log share them by chance or by intent.
    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }
}

fn for_each_batch(
    source: &Source,
    mut each: impl FnMut(&Header, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, File::open(&source.path)?);
    let mut bytes = Vec::new();
    let mut left = source.size;
    while let Some(header) = read_batch(&mut reader, &mut bytes, left)? {
        left -= header.total_bytes as u64;
        if !each(&header, &bytes)? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::segment::now_ms;
    use std::collections::BTreeMap;

    fn config(settings: &[(&str, &str)]) -> LogConfig {
        let mut all: BTreeMap<String, String> =
            BTreeMap::from([("cleanup.policy".into(), "compact".into())]);
        all.extend(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        LogConfig::new(all).unwrap()
    }

    fn put(partition: &Partition, config: &LogConfig, key: &str, value: Option<&str>) {
        partition
            .append_own(&[(key.into(), value.map(Into::into))], config)
            .unwrap();
    }

    fn contents(partition: &Partition) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut all = Vec::new();
        partition
            .for_each(|key, value| all.push((text(key), value.map(text))))
            .unwrap();
        all
    }

    #[test]
    fn only_the_newest_of_each_key_stays_also_after_recovery() {
        let dir = tempfile::tempdir().unwrap();
        let partition = Partition::open(dir.path().to_owned(), Default::default()).unwrap();
        let config = config(&[
            ("segment.bytes", "1000"),
            ("min.cleanable.dirty.ratio", "0"),
        ]);
        for round in 0..100 {
            for key in ["a", "b", "c"] {
                put(&partition, &config, key, Some(&round.to_string()));
            }
        }
        let before = partition.offsets();
        partition.compact(&config, now_ms()).unwrap();
        let after = contents(&partition);
        assert!(after.len() < 30, "{} records left", after.len());
        let newest: BTreeMap<_, _> = after.iter().cloned().collect();
        assert!(newest.values().all(|value| value.as_deref() == Some("99")));
        assert_eq!(partition.offsets().next, before.next);
        drop(partition);
        let again = Partition::open(dir.path().to_owned(), Default::default()).unwrap();
        assert_eq!(contents(&again), after);
        assert_eq!(again.offsets().next, before.next);
    }

    #[test]
    fn a_tombstone_stays_for_its_retention_and_then_goes() {
        let dir = tempfile::tempdir().unwrap();
        let partition = Partition::open(dir.path().to_owned(), Default::default()).unwrap();
        let config = config(&[
            ("min.cleanable.dirty.ratio", "0"),
            ("delete.retention.ms", "1000"),
        ]);
        put(&partition, &config, "a", Some("1"));
        put(&partition, &config, "a", None);
        put(&partition, &config, "b", Some("1"));
        let now = now_ms();
        partition
            .apply_retention(
                &LogConfig {
                    segment_ms: 0,
                    ..config.clone()
                },
                i64::MAX,
            )
            .unwrap();
        partition.compact(&config, now).unwrap();
        assert_eq!(
            contents(&partition),
            [("a".into(), None), ("b".into(), Some("1".into()))]
        );
        partition.compact(&config, now + 999).unwrap();
        assert_eq!(contents(&partition).len(), 2);
        partition.compact(&config, now + 1000).unwrap();
        assert_eq!(contents(&partition), [("b".into(), Some("1".into()))]);
    }

    #[test]
    fn merged_segments_that_a_crash_left_behind_are_not_read_twice() {
        let dir = tempfile::tempdir().unwrap();
        let partition = Partition::open(dir.path().to_owned(), Default::default()).unwrap();
        let config = config(&[("segment.bytes", "200"), ("min.cleanable.dirty.ratio", "0")]);
        for key in 0..20 {
            put(&partition, &config, &key.to_string(), Some("v"));
        }
        let leftover = partition.log.lock().segments[1].path.clone();
        let bytes = fs::read(&leftover).unwrap();
        let before = contents(&partition);
        partition
            .compact(
                &LogConfig {
                    segment_bytes: 1 << 20,
                    ..config
                },
                now_ms(),
            )
            .unwrap();
        assert!(!leftover.exists());
        fs::write(&leftover, bytes).unwrap();
        drop(partition);
        assert_eq!(
            contents(&Partition::open(dir.path().to_owned(), Default::default()).unwrap()),
            before
        );
    }
}
