//! A sparse index of a segment: where to start reading for an offset or a time.

/// An entry every so many bytes: a read starts at most this far before what it wants.
pub(crate) const INTERVAL_BYTES: u64 = 16 << 10;

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Offset of the batch, relative to the segment.
    offset: u32,
    position: u32,
    /// The largest timestamp before this batch.
    max_timestamp_before: i64,
}

/// Lives in memory only (1 MB per GB of log); recovery reads the segment anyway and builds it again.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    indexed_bytes: u64,
}

impl Index {
    /// Notes the batch at `position`, if it is far enough from the last one noted.
    pub(crate) fn note(&mut self, offset: i64, position: u64, max_timestamp_before: i64) {
        if position >= self.indexed_bytes + INTERVAL_BYTES {
            self.indexed_bytes = position;
            // A segment is at most 2 GiB and spans at most 2^31 offsets: the log rolls before.
            self.entries.push(Entry {
                offset: offset as u32,
                position: position as u32,
                max_timestamp_before,
            });
        }
    }

    /// The position of a batch at or before the one that holds the relative offset.
    pub(crate) fn position_of(&self, offset: i64) -> u64 {
        let after = self
            .entries
            .partition_point(|entry| i64::from(entry.offset) <= offset);
        self.position_before(after)
    }

    /// A position before which all timestamps are smaller.
    pub(crate) fn position_of_time(&self, timestamp: i64) -> u64 {
        let after = self
            .entries
            .partition_point(|entry| entry.max_timestamp_before < timestamp);
        self.position_before(after)
    }

    fn position_before(&self, index: usize) -> u64 {
        index
            .checked_sub(1)
            .map_or(0, |index| u64::from(self.entries[index].position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_batch_at_or_before() {
        let mut index = Index::default();
        for batch in 0..100 {
            index.note(batch * 10, batch as u64 * INTERVAL_BYTES, batch * 1_000);
        }
        for (offset, batch) in [(0, 0), (9, 0), (10, 1), (505, 50), (9_999, 99)] {
            assert_eq!(
                index.position_of(offset),
                batch * INTERVAL_BYTES,
                "offset {offset}"
            );
        }
        for (timestamp, batch) in [(0, 0), (1_500, 1), (50_000, 49), (50_001, 50)] {
            assert_eq!(
                index.position_of_time(timestamp),
                batch * INTERVAL_BYTES,
                "time {timestamp}"
            );
        }
    }
}
