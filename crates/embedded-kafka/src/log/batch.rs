//! Record batches, format version 2: the unit that is produced, stored and fetched.
//!
//! ```text
//!  0 base offset      i64      21 attributes         i16      51 producer epoch   i16
//!  8 length after it  i32      23 last offset delta  i32      53 base sequence    i32
//! 12 leader epoch     i32      27 base timestamp     i64      57 record count     i32
//! 16 magic (2)        i8       35 max timestamp      i64      61 records, compressed as attributes say
//! 17 crc32c of 21..   u32      43 producer id        i64
//! ```
//!
//! Batches are stored as they were sent: only the base offset and the leader epoch, which the checksum does not
//! cover, are filled in (and the timestamp where the topic wants the append time).
//! Source: <https://kafka.apache.org/documentation/#recordbatch>.

use kafka_protocol::ResponseError;

use super::compression::payload;
use super::records::{Record, put_varint, records};

pub(crate) const HEADER_BYTES: usize = 61;
/// Base offset and length: what comes before the part that `length` counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;

const COMPRESSION: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// The fixed part of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    pub(crate) total_bytes: usize,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if it is not one of version 2.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        let length = i32::from_be_bytes(array(bytes, 8)?);
        let total_bytes = usize::try_from(length).ok()? + LENGTH_OVERHEAD;
        if total_bytes < HEADER_BYTES || *bytes.get(16)? != 2 {
            return None;
        }
        Some(Header {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            total_bytes,
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)?),
            producer_id: i64::from_be_bytes(array(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)?),
            base_sequence: i32::from_be_bytes(array(bytes, 53)?),
            count: i32::from_be_bytes(array(bytes, 57)?),
        })
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Sequence numbers wrap to 0 after `i32::MAX`.
    pub(crate) fn last_sequence(&self) -> i32 {
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX))
            as i32
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn codec(&self) -> i16 {
        self.attributes & COMPRESSION
    }

    /// Without the mark of a transaction, and without a codec if it holds no records.
    pub(crate) fn settled(&self, has_records: bool) -> Header {
        let cleared = if has_records {
            TRANSACTIONAL
        } else {
            TRANSACTIONAL | CONTROL | COMPRESSION
        };
        Header {
            attributes: self.attributes & !cleared,
            ..*self
        }
    }

    fn has_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// The timestamp of a record of this batch.
    pub(crate) fn timestamp_of(&self, record: &Record<'_>) -> i64 {
        if self.has_append_time() {
            self.max_timestamp
        } else {
            self.base_timestamp.saturating_add(record.timestamp_delta)
        }
    }
}

/// The one batch of a produce request, checked: exact length, checksum, counts, every record inside its bounds.
pub(crate) fn validate(bytes: &[u8], keys_required: bool) -> Result<Header, ResponseError> {
    let header = Header::parse(bytes).ok_or(ResponseError::CorruptMessage)?;
    if header.total_bytes < bytes.len() && Header::parse(&bytes[header.total_bytes..]).is_some() {
        return Err(ResponseError::InvalidRecord); // several batches: Kafka takes one a partition since version 3
    }
    if header.total_bytes != bytes.len() || !checksum_fits(bytes) {
        return Err(ResponseError::CorruptMessage);
    }
    if header.count < 1 || header.last_offset_delta != header.count - 1 || header.is_control() {
        return Err(ResponseError::InvalidRecord);
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(ResponseError::InvalidRecord);
    }
    if header.codec() > 4 {
        return Err(ResponseError::UnsupportedCompressionType);
    }
    let unfolded = payload(&header, bytes).ok_or(ResponseError::CorruptMessage)?;
    let mut expected = 0;
    for record in records(&unfolded) {
        let record = record.ok_or(ResponseError::CorruptMessage)?;
        if record.offset_delta != expected || (keys_required && record.key.is_none()) {
            return Err(ResponseError::InvalidRecord);
        }
        expected += 1;
    }
    if expected == header.count {
        Ok(header)
    } else {
        Err(ResponseError::InvalidRecord)
    }
}

/// Whether the checksum of a whole batch is right.
pub(crate) fn checksum_fits(bytes: &[u8]) -> bool {
    array(bytes, 17).map(u32::from_be_bytes) == bytes.get(21..).map(crc32c::crc32c)
}

/// A batch of our own, uncompressed, for the internal topics.
pub(crate) fn build(records: &[(Vec<u8>, Option<Vec<u8>>)], timestamp: i64) -> Vec<u8> {
    assemble(records, timestamp, 0, -1, -1)
}

/// The control batch that ends a transaction on a partition.
pub(crate) fn marker(
    producer_id: i64,
    producer_epoch: i16,
    committed: bool,
    timestamp: i64,
) -> Vec<u8> {
    let key = [0, 0, 0, committed as u8]; // version 0; type: 0 abort, 1 commit
    let value = [0u8; 6]; // version 0, coordinator epoch 0
    let record = (key.to_vec(), Some(value.to_vec()));
    assemble(
        &[record],
        timestamp,
        TRANSACTIONAL | CONTROL,
        producer_id,
        producer_epoch,
    )
}

/// Whether a control batch commits (or aborts); `None` for a control batch of another kind.
pub(crate) fn marker_commits(header: &Header, bytes: &[u8]) -> Option<bool> {
    let record = records(bytes.get(HEADER_BYTES..header.total_bytes)?).next()??;
    match record.key?.get(2..4)? {
        [0, 0] => Some(false),
        [0, 1] => Some(true),
        _ => None,
    }
}

fn assemble(
    records: &[(Vec<u8>, Option<Vec<u8>>)],
    timestamp: i64,
    attributes: i16,
    id: i64,
    epoch: i16,
) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, (key, value)) in records.iter().enumerate() {
        let mut record = vec![0]; // attributes
        put_varint(&mut record, 0); // timestamp delta
        put_varint(&mut record, index as i64);
        put_varint(&mut record, key.len() as i64);
        record.extend(key);
        match value {
            Some(value) => {
                put_varint(&mut record, value.len() as i64);
                record.extend(value);
            }
            None => put_varint(&mut record, -1),
        }
        put_varint(&mut record, 0); // headers
        put_varint(&mut body, record.len() as i64);
        body.extend(record);
    }
    let header = Header {
        base_offset: 0,
        total_bytes: 0,
        attributes,
        last_offset_delta: records.len() as i32 - 1,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: -1,
        count: records.len() as i32,
    };
    encode(&header, &body)
}

/// A whole batch from its header (length and checksum are worked out) and its records as they shall be stored.
pub(crate) fn encode(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend(header.base_offset.to_be_bytes());
    out.extend(((HEADER_BYTES - LENGTH_OVERHEAD + body.len()) as i32).to_be_bytes());
    out.extend(0i32.to_be_bytes()); // leader epoch
    out.push(2);
    out.extend([0; 4]); // checksum, below
    out.extend(header.attributes.to_be_bytes());
    out.extend(header.last_offset_delta.to_be_bytes());
    out.extend(header.base_timestamp.to_be_bytes());
    out.extend(header.max_timestamp.to_be_bytes());
    out.extend(header.producer_id.to_be_bytes());
    out.extend(header.producer_epoch.to_be_bytes());
    out.extend(header.base_sequence.to_be_bytes());
    out.extend(header.count.to_be_bytes());
    out.extend(body);
    let checksum = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&checksum.to_be_bytes());
    out
}

/// Gives a batch its place in the log.
pub(crate) fn place(bytes: &mut [u8], base_offset: i64) {
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&0i32.to_be_bytes());
}

/// Replaces the producer's timestamps by the time of the append.
pub(crate) fn stamp(bytes: &mut [u8], header: &mut Header, now_ms: i64) {
    header.attributes |= LOG_APPEND_TIME;
    header.max_timestamp = now_ms;
    bytes[21..23].copy_from_slice(&header.attributes.to_be_bytes());
    bytes[35..43].copy_from_slice(&now_ms.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::log::compression::DECOMPRESSED_BYTES_MAX;

    fn sample() -> Vec<u8> {
        build(
            &[
                (b"k1".to_vec(), Some(b"v1".to_vec())),
                (b"k2".to_vec(), None),
            ],
            1_000,
        )
    }

    #[test]
    fn a_built_batch_is_valid_and_reads_back() {
        let bytes = sample();
        let header = validate(&bytes, true).unwrap();
        assert_eq!(
            (header.count, header.last_offset_delta, header.max_timestamp),
            (2, 1, 1_000)
        );
        let unfolded = payload(&header, &bytes).unwrap();
        let read: Vec<_> = records(&unfolded)
            .map(Option::unwrap)
            .map(|r| (r.key, r.value))
            .collect();
        assert_eq!(
            read,
            [
                (Some(&b"k1"[..]), Some(&b"v1"[..])),
                (Some(&b"k2"[..]), None)
            ]
        );
    }

    #[test]
    fn any_flipped_bit_after_the_checksum_is_noticed() {
        let good = sample();
        for at in 17..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(validate(&bad, false).is_err(), "byte {at}");
        }
    }

    #[test]
    fn lying_counts_are_refused_though_the_checksum_fits() {
        let good = sample();
        let header = Header::parse(&good).unwrap();
        for (count, last) in [(0, 0), (i32::MAX, i32::MAX - 1), (2, 0), (3, 2), (-1, -2)] {
            let lie = Header {
                count,
                last_offset_delta: last,
                ..header
            };
            let bytes = encode(&lie, &good[HEADER_BYTES..]);
            assert_eq!(
                validate(&bytes, false).unwrap_err(),
                ResponseError::InvalidRecord,
                "{count} {last}"
            );
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let bomb = zstd::stream::encode_all(std::io::repeat(0).take(DECOMPRESSED_BYTES_MAX + 1), 1)
            .unwrap();
        let header = Header {
            attributes: 4,
            ..Header::parse(&sample()).unwrap()
        };
        let bytes = encode(&header, &bomb);
        assert_eq!(
            validate(&bytes, false).unwrap_err(),
            ResponseError::CorruptMessage
        );
    }

    #[test]
    fn markers_say_commit_or_abort() {
        for committed in [true, false] {
            let bytes = marker(7, 1, committed, 0);
            let header = Header::parse(&bytes).unwrap();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!(marker_commits(&header, &bytes), Some(committed));
        }
    }
}
