//! Reading batches from a segment's file, without the log's lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{HEADER_BYTES, Header};
use super::compression::payload;
use super::index::INTERVAL_BYTES;
use super::records::{Record, records};
use super::segment::Segment;

/// Where a read starts in a segment: a snapshot that stays valid while the log goes on.
pub(super) struct Place {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    pub(super) size: u64,
    pub(super) last_offset: i64,
}

impl Segment {
    pub(super) fn place(&mut self, position: u64) -> io::Result<Place> {
        Ok(Place {
            file: self.file()?,
            position,
            size: self.size,
            last_offset: self.last_offset,
        })
    }
}

/// Whole batches from the one that holds `from`, below `until`; `None` if the rest of the segment has none (compaction
/// leaves gaps), empty if the first one is larger than `max_bytes` and may not be.
pub(super) fn read_batches(
    place: &Place,
    from: i64,
    until: i64,
    max_bytes: usize,
    at_least_one: bool,
) -> io::Result<Option<Bytes>> {
    let mut position = place.position;
    let mut want = max_bytes as u64 + INTERVAL_BYTES;
    while position < place.size {
        let mut bytes = vec![0; want.min(place.size - position) as usize];
        place.file.read_exact_at(&mut bytes, position)?;
        let mut at = 0;
        let mut selected: Option<(usize, usize)> = None;
        while let Some(header) = bytes.get(at..).and_then(Header::parse) {
            let end = at + header.total_bytes;
            if header.base_offset >= until {
                return Ok(Some(slice(bytes, selected)));
            }
            if header.last_offset() >= from {
                let start = selected.map_or(at, |(start, _)| start);
                let fits = end - start <= max_bytes;
                if !fits && (selected.is_some() || !at_least_one) {
                    return Ok(Some(slice(bytes, selected)));
                }
                if end > bytes.len() {
                    break;
                }
                selected = Some((start, end));
            }
            at = end;
        }
        if selected.is_some() {
            return Ok(Some(slice(bytes, selected)));
        }
        // The batch wanted lies beyond this chunk, or is larger than it: go on from where it starts.
        let needed = bytes
            .get(at..)
            .and_then(Header::parse)
            .map_or(HEADER_BYTES, |header| header.total_bytes);
        want = want.max(needed as u64);
        position += at as u64;
    }
    Ok(None)
}

fn slice(bytes: Vec<u8>, range: Option<(usize, usize)>) -> Bytes {
    range.map_or_else(Bytes::new, |(start, end)| {
        Bytes::from(bytes).slice(start..end)
    })
}

/// The last offset in whole batches.
pub(super) fn last_offset(records: &[u8]) -> i64 {
    let mut rest = records;
    let mut last = -1;
    while let Some(header) = Header::parse(rest) {
        last = header.last_offset();
        rest = rest.get(header.total_bytes..).unwrap_or_default();
    }
    last
}

/// The first data record that fits: its offset and timestamp.
pub(super) fn find_record(
    place: &Place,
    mut fits: impl FnMut(&Header, &Record<'_>) -> bool,
) -> io::Result<Option<(i64, i64)>> {
    let mut from = i64::MIN;
    let mut place = Place {
        file: place.file.clone(),
        ..*place
    };
    while place.position < place.size {
        let Some(bytes) = read_batches(&place, from, i64::MAX, 1 << 20, true)? else {
            return Ok(None);
        };
        let mut rest = &bytes[..];
        while let Some(header) = Header::parse(rest) {
            if !header.is_control() {
                let unfolded = payload(&header, rest).ok_or(io::ErrorKind::InvalidData)?;
                if let Some(record) = records(&unfolded)
                    .flatten()
                    .find(|record| fits(&header, record))
                {
                    let offset = header.base_offset + i64::from(record.offset_delta);
                    return Ok(Some((offset, header.timestamp_of(&record))));
                }
            }
            from = header.last_offset() + 1;
            rest = &rest[header.total_bytes..];
        }
        place.position += bytes.len() as u64;
    }
    Ok(None)
}
