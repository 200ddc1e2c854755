//! A partition: its segments, and what may be read and appended.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::LogConfig;
use super::batch::{self, Header};
use super::checkpoint::Checkpoint;
use super::compression::payload;
use super::producers::{Aborted, Producers};
use super::reading::{Place, find_record, last_offset, read_batches};
use super::records::records;
use super::segment::{self, Segment, now_ms};
use crate::storage::{read_number, storage_error};

/// The file that says where the log starts, if records were deleted.
pub(super) const START_OFFSET: &str = "start-offset";

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Uncommitted,
    /// Only up to the first open transaction.
    Committed,
}

/// The log is behind one lock per partition, held for a write to or a look at the page cache, never across an
/// `await` and never while segments are copied; so file IO stays on the calling thread.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) dir: PathBuf,
    pub(super) log: Mutex<Log>,
    /// Notified when there is something to bring to the disk.
    unsynced: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Log {
    /// In order of offsets, never empty; the last one is appended to.
    pub(super) segments: Vec<Segment>,
    pub(super) producers: Producers,
    pub(super) checkpoint: Checkpoint,
    pub(super) start_offset: i64,
    pub(super) next_offset: i64,
    pub(super) deleted: bool,
    /// Segments were made whose names are not on the disk yet.
    has_new_files: bool,
    /// Fetches that wait for more.
    waiters: Vec<Arc<Notify>>,
}

/// The offsets that every answer about a partition carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offsets {
    pub(crate) start: i64,
    /// Next offset to be written; with one replica also the high watermark.
    pub(crate) next: i64,
    pub(crate) last_stable: i64,
}

impl Offsets {
    pub(crate) fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.next,
            Isolation::Committed => self.last_stable,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) offsets: Offsets,
    pub(crate) records: Bytes,
    pub(crate) aborted: Vec<Aborted>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) log_start: i64,
    /// Set where the topic stamps records with the append time.
    pub(crate) append_time_ms: i64,
}

impl Partition {
    /// Opens a partition's directory, made if it is not there, and recovers its log.
    pub(crate) fn open(dir: PathBuf, unsynced: Arc<Notify>) -> io::Result<Partition> {
        fs::create_dir_all(&dir)?;
        let mut bases = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path)?; // of a compaction that did not end
            } else if let Some(base_offset) = segment::base_offset_of(&path) {
                bases.push((base_offset, path));
            }
        }
        bases.sort();
        let mut producers = Producers::default();
        let mut segments: Vec<Segment> = Vec::new();
        for (base_offset, path) in bases {
            if segments
                .last()
                .is_some_and(|before| before.last_offset >= base_offset)
            {
                fs::remove_file(&path)?; // compaction has merged it into the one before
                continue;
            }
            let now = now_ms();
            segments.push(Segment::recover(
                path,
                base_offset,
                |header, bytes| match header.is_control() {
                    true => producers.ended(
                        header,
                        batch::marker_commits(header, bytes).unwrap_or(false),
                        now,
                    ),
                    false => producers.appended(header, now),
                },
            )?);
        }
        if segments.is_empty() {
            segments.push(Segment::create(&dir, 0)?);
        }
        let start_offset = read_number(&dir.join(START_OFFSET))?
            .unwrap_or(0)
            .max(segments[0].base_offset);
        let next_offset = segments
            .last()
            .map_or(0, |newest| newest.last_offset + 1)
            .max(start_offset);
        producers.trim(start_offset, now_ms());
        let checkpoint = Checkpoint::load(&dir);
        let waiters = Vec::new();
        let log = Log {
            segments,
            producers,
            checkpoint,
            start_offset,
            next_offset,
            deleted: false,
            has_new_files: true,
            waiters,
        };
        Ok(Partition {
            dir,
            log: Mutex::new(log),
            unsynced,
        })
    }

    pub(crate) fn offsets(&self) -> Offsets {
        self.log.lock().offsets()
    }

    /// Appends a producer's batch, unless it was appended before. It is in the page cache when this returns.
    pub(crate) fn append(
        &self,
        bytes: &[u8],
        config: &LogConfig,
    ) -> Result<Appended, ResponseError> {
        if bytes.len() > config.max_message_bytes {
            return Err(ResponseError::MessageTooLarge);
        }
        let mut header = batch::validate(bytes, config.compact)?;
        let mut bytes = bytes.to_vec();
        let now = now_ms();
        if config.append_time {
            batch::stamp(&mut bytes, &mut header, now);
        }
        let append_time_ms = if config.append_time { now } else { -1 };
        let mut log = self.log.lock();
        let log_start = log.start_offset;
        if let Some(base_offset) = log.producers.check(&header)? {
            return Ok(Appended {
                base_offset,
                log_start,
                append_time_ms,
            });
        }
        let header = log.write(&self.dir, &mut bytes, header, config, now)?;
        log.producers.appended(&header, now);
        log.wake();
        self.unsynced.notify_one();
        Ok(Appended {
            base_offset: header.base_offset,
            log_start,
            append_time_ms,
        })
    }

    /// Appends records of the server itself.
    pub(crate) fn append_own(
        &self,
        records: &[(Vec<u8>, Option<Vec<u8>>)],
        config: &LogConfig,
    ) -> Result<(), ResponseError> {
        let bytes = batch::build(records, now_ms());
        self.append(
            &bytes,
            &LogConfig {
                max_message_bytes: usize::MAX,
                ..config.clone()
            },
        )
        .map(|_| ())
    }

    /// Ends a producer's transaction here, if it has one open.
    pub(crate) fn append_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        committed: bool,
        config: &LogConfig,
    ) -> Result<(), ResponseError> {
        let now = now_ms();
        let mut log = self.log.lock();
        if log.deleted || !log.producers.has_open_transaction(producer_id) {
            return Ok(());
        }
        let mut bytes = batch::marker(producer_id, epoch, committed, now);
        let header = Header::parse(&bytes).ok_or(ResponseError::UnknownServerError)?;
        let header = log.write(&self.dir, &mut bytes, header, config, now)?;
        log.producers.ended(&header, committed, now);
        log.wake();
        self.unsynced.notify_one();
        Ok(())
    }

    /// Whole batches from the one that holds `from`, up to `max_bytes`, and where `at_least_one` is set one batch
    /// however large. A `waiter` is notified once when there may be more.
    pub(crate) fn read(
        &self,
        from: i64,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
        waiter: Option<&Arc<Notify>>,
    ) -> Result<Read, ResponseError> {
        let mut log = self.log.lock();
        let offsets = log.offsets();
        if from < offsets.start || from > offsets.next {
            return Err(ResponseError::OffsetOutOfRange);
        }
        log.waiters.extend(waiter.cloned());
        let until = offsets.end(isolation);
        let mut aborted = Vec::new();
        let mut records = None;
        let mut next = from;
        while next < until && records.is_none() && max_bytes > 0 {
            // In one look with the file: compaction may drop the transaction and its records in between.
            if isolation == Isolation::Committed {
                aborted = log.producers.aborted_in(from, until);
            }
            let place = log.place(next).map_err(storage_error)?;
            // Reading needs no lock: what is written stays, and an open file outlives its removal.
            let read = || read_batches(&place, from, until, max_bytes, at_least_one);
            records = MutexGuard::unlocked(&mut log, read).map_err(storage_error)?;
            next = next.max(place.last_offset) + 1;
        }
        let records = records.unwrap_or_default();
        let last = last_offset(&records);
        aborted.retain(|aborted| aborted.first_offset <= last);
        Ok(Read {
            offsets,
            records,
            aborted,
        })
    }

    /// Stops waiting.
    pub(crate) fn forget(&self, waiter: &Arc<Notify>) {
        self.log
            .lock()
            .waiters
            .retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// The first record with this timestamp or a later one: its offset and timestamp.
    pub(crate) fn find_time(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        let mut log = self.log.lock();
        let start = log.start_offset;
        let Some(segment) = log
            .segments
            .iter_mut()
            .find(|s| s.max_timestamp >= timestamp && s.last_offset >= start)
        else {
            return Ok(None);
        };
        let position = segment.index.position_of_time(timestamp);
        let place = segment.place(position)?;
        drop(log);
        find_record(&place, |header, record| {
            header.base_offset + i64::from(record.offset_delta) >= start
                && header.timestamp_of(record) >= timestamp
        })
    }

    /// The record with the largest timestamp: its offset and timestamp.
    pub(crate) fn find_max_time(&self) -> io::Result<Option<(i64, i64)>> {
        let mut log = self.log.lock();
        let Some(segment) = log
            .segments
            .iter_mut()
            .rev()
            .max_by_key(|segment| segment.max_timestamp)
        else {
            return Ok(None);
        };
        let (wanted, batch) = (segment.max_timestamp, segment.max_timestamp_batch);
        let position = segment.index.position_of(batch - segment.base_offset);
        let place = segment.place(position)?;
        drop(log);
        find_record(&place, |header, record| {
            header.timestamp_of(record) >= wanted
        })
    }

    /// Brings what was appended to the disk, so that it survives a power loss too.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut files = Vec::new();
        let has_new_files = {
            let mut log = self.log.lock();
            if log.deleted {
                return Ok(());
            }
            for segment in log.segments.iter_mut().filter(|segment| segment.unsynced) {
                files.push(segment.file()?);
                segment.unsynced = false;
            }
            std::mem::take(&mut log.has_new_files)
        };
        files.iter().try_for_each(|file| file.sync_data())?;
        if has_new_files {
            File::open(&self.dir)?.sync_all()
        } else {
            Ok(())
        }
    }

    /// Marks the partition as deleted and wakes who waits for it.
    pub(crate) fn delete(&self) {
        let mut log = self.log.lock();
        log.deleted = true;
        log.wake();
    }

    /// Every record, oldest first: how the internal topics are read at the start.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> io::Result<()> {
        let mut next = self.offsets().start;
        loop {
            let read = self
                .read(next, 1 << 20, Isolation::Uncommitted, true, None)
                .map_err(io::Error::other)?;
            if read.records.is_empty() {
                return Ok(());
            }
            let mut rest = &read.records[..];
            while let Some(header) = Header::parse(rest) {
                let unfolded = payload(&header, rest).ok_or(io::ErrorKind::InvalidData)?;
                for record in records(&unfolded).flatten() {
                    each(record.key.unwrap_or_default(), record.value);
                }
                next = header.last_offset() + 1;
                rest = &rest[header.total_bytes..];
            }
        }
    }
}

impl Log {
    fn offsets(&self) -> Offsets {
        let (start, next) = (self.start_offset, self.next_offset);
        Offsets {
            start,
            next,
            last_stable: self.producers.first_open_offset().unwrap_or(next),
        }
    }

    pub(super) fn newest(&mut self) -> &mut Segment {
        self.segments
            .last_mut()
            .expect("a log has at least one segment: open() and roll() see to it")
    }

    fn wake(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.notify_one();
        }
    }

    fn write(
        &mut self,
        dir: &Path,
        bytes: &mut [u8],
        header: Header,
        config: &LogConfig,
        now: i64,
    ) -> Result<Header, ResponseError> {
        if self.deleted {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let next = self.next_offset;
        let newest = self.newest();
        let full = newest.size + bytes.len() as u64 > config.segment_bytes
            || next - newest.base_offset > i64::from(i32::MAX) / 2
            || now - newest.first_append_ms >= config.segment_ms;
        if newest.size > 0 && full {
            self.roll(dir).map_err(storage_error)?;
        }
        let header = Header {
            base_offset: next,
            ..header
        };
        batch::place(bytes, next);
        self.newest()
            .append(&header, bytes, now)
            .map_err(storage_error)?;
        self.next_offset = header.last_offset() + 1;
        Ok(header)
    }

    pub(super) fn roll(&mut self, dir: &Path) -> io::Result<()> {
        self.segments.push(Segment::create(dir, self.next_offset)?);
        self.has_new_files = true;
        Ok(())
    }

    fn place(&mut self, offset: i64) -> io::Result<Place> {
        let index = self
            .segments
            .partition_point(|segment| segment.last_offset < offset);
        let index = index.min(self.segments.len() - 1);
        let segment = &mut self.segments[index];
        let position = segment.index.position_of(offset - segment.base_offset);
        segment.place(position)
    }
}
