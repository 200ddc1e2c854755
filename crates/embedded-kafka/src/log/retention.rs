//! What leaves the log: deleted records, and segments that are too old or too many.

use std::fs;
use std::io;

use kafka_protocol::ResponseError;

use super::LogConfig;
use super::partition::{Partition, START_OFFSET};
use super::segment::Segment;
use crate::storage::{storage_error, write_atomically};

/// Files idle for so long are closed.
const FILE_IDLE_MS: i64 = 60_000;

impl Partition {
    /// Moves the start of the log; what lies before it is gone for readers at once, from disk soon.
    pub(crate) fn delete_records(&self, before: i64) -> Result<i64, ResponseError> {
        let mut log = self.log.lock();
        let before = if before == -1 {
            log.next_offset
        } else {
            before
        };
        if before < 0 || before > log.next_offset {
            return Err(ResponseError::OffsetOutOfRange);
        }
        if before > log.start_offset {
            write_atomically(&self.dir.join(START_OFFSET), before.to_string().as_bytes())
                .map_err(storage_error)?;
            log.start_offset = before;
        }
        Ok(log.start_offset)
    }

    /// Rolls a segment that is old enough, and removes the segments that retention or `delete_records` gave up.
    pub(crate) fn apply_retention(&self, config: &LogConfig, now: i64) -> io::Result<()> {
        let mut log = self.log.lock();
        if log.deleted {
            return Ok(());
        }
        if log.newest().size > 0 && now - log.newest().first_append_ms >= config.segment_ms {
            log.roll(&self.dir)?;
        }
        let expired = |segment: &Segment| {
            // Records of the future (a producer's wrong clock) and mere markers expire by when they were appended.
            let is_credible = (0..=now).contains(&segment.max_timestamp);
            let newest = if is_credible {
                segment.max_timestamp
            } else {
                segment.last_append_ms
            };
            config.delete && config.retention_ms >= 0 && now - newest > config.retention_ms
        };
        if log.newest().size > 0 && log.segments.iter().all(expired) {
            log.roll(&self.dir)?;
        }
        let mut total: u64 = log.segments.iter().map(|segment| segment.size).sum();
        while let [oldest, newer, ..] = log.segments.as_slice() {
            let too_large = config.delete && config.retention_bytes >= 0 && {
                total.saturating_sub(oldest.size) >= config.retention_bytes as u64
            };
            let stable = log
                .producers
                .first_open_offset()
                .is_none_or(|open| oldest.last_offset < open);
            if !(stable && (expired(oldest) || too_large) || newer.base_offset <= log.start_offset)
            {
                break;
            }
            let start_offset = log.start_offset.max(newer.base_offset);
            total -= oldest.size;
            fs::remove_file(&oldest.path)?;
            log.start_offset = start_offset;
            log.segments.remove(0);
        }
        let start = log.start_offset;
        log.producers.trim(start, now);
        for segment in log
            .segments
            .iter_mut()
            .filter(|s| !s.unsynced && now - s.last_append_ms > FILE_IDLE_MS)
        {
            segment.close();
        }
        Ok(())
    }
}
