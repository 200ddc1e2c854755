//! The records inside a batch, walked without copying and without trusting a length.

/// One record inside a batch, still in its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The record as it is stored, with its length.
    pub(crate) raw: &'a [u8],
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Walks the records of a decompressed payload; a `None` ends the walk: the bytes are not records.
pub(crate) fn records(payload: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let bytes = rest.filter(|bytes| !bytes.is_empty())?;
        match split_record(bytes) {
            Some((record, after)) => {
                rest = Some(after);
                Some(Some(record))
            }
            None => {
                rest = None;
                Some(None)
            }
        }
    })
}

fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let mut cursor = bytes;
    let len = usize::try_from(varint(&mut cursor)?).ok()?;
    let prefix = bytes.len() - cursor.len();
    let (raw, after) = bytes.split_at_checked(prefix.checked_add(len)?)?;
    let mut body = raw.get(prefix + 1..)?; // after the record's attributes, which are unused
    let timestamp_delta = varint(&mut body)?;
    let offset_delta = i32::try_from(varint(&mut body)?).ok()?;
    let key = nullable(&mut body)?;
    let value = nullable(&mut body)?;
    for _ in 0..usize::try_from(varint(&mut body)?).ok()? {
        nullable(&mut body)??; // the header's name
        nullable(&mut body)?;
    }
    body.is_empty().then_some((
        Record {
            raw,
            timestamp_delta,
            offset_delta,
            key,
            value,
        },
        after,
    ))
}

fn nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(bytes)? {
        -1 => Some(None),
        len => {
            let (value, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            *bytes = rest;
            Some(Some(value))
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
