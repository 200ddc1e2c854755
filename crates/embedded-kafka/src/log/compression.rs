//! Unfolding and folding a batch's records, with a bound on what comes out.

use std::borrow::Cow;
use std::io::{self, Read};

use bytes::{BufMut, BytesMut};
use kafka_protocol::compression::{Compressor, Gzip, Lz4, Snappy, Zstd};

use super::batch::{HEADER_BYTES, Header, array};

/// A compressed batch may not unfold to more than this. A guess: 64 times the default message size.
pub(super) const DECOMPRESSED_BYTES_MAX: u64 = 64 << 20;

/// The records of a whole batch, decompressed; `None` if they do not decompress or unfold to too much.
pub(crate) fn payload<'a>(header: &Header, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let raw = bytes.get(HEADER_BYTES..header.total_bytes)?;
    match header.codec() {
        0 => Some(Cow::Borrowed(raw)),
        1 => read_bounded(flate2::read::MultiGzDecoder::new(raw)),
        2 => unsnap(raw),
        3 => read_bounded(lz4::Decoder::new(raw).ok()?),
        4 => read_bounded(zstd::stream::read::Decoder::new(raw).ok()?),
        _ => None,
    }
}

fn read_bounded(source: impl Read) -> Option<Cow<'static, [u8]>> {
    let mut out = Vec::new();
    source
        .take(DECOMPRESSED_BYTES_MAX + 1)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() as u64 <= DECOMPRESSED_BYTES_MAX).then_some(Cow::Owned(out))
}

/// Snappy comes raw (librdkafka) or in the blocks of snappy-java, each after its length.
fn unsnap(raw: &[u8]) -> Option<Cow<'static, [u8]>> {
    const JAVA_MAGIC: &[u8] = b"\x82SNAPPY\x00";
    const JAVA_HEADER_BYTES: usize = 16;
    let mut out = Vec::new();
    let mut unfold = |block: &[u8]| {
        let len = snap::raw::decompress_len(block).ok()?;
        // Snappy cannot make more than 64 bytes of 2 (a copy element), so a claim beyond that is a lie.
        if len > block.len().saturating_mul(64) || (out.len() + len) as u64 > DECOMPRESSED_BYTES_MAX
        {
            return None;
        }
        out.extend(snap::raw::Decoder::new().decompress_vec(block).ok()?);
        Some(())
    };
    if raw.starts_with(JAVA_MAGIC) {
        let mut rest = raw.get(JAVA_HEADER_BYTES..)?;
        while !rest.is_empty() {
            let len = u32::from_be_bytes(array(rest, 0)?) as usize;
            unfold(rest.get(4..4usize.checked_add(len)?)?)?;
            rest = &rest[4 + len..];
        }
    } else {
        unfold(raw)?;
    }
    Some(Cow::Owned(out))
}

/// Records compressed as a batch with this codec stores them.
pub(super) fn compress(codec: i16, records: &[u8]) -> io::Result<BytesMut> {
    let mut out = BytesMut::new();
    let put = |buffer: &mut BytesMut| {
        buffer.put_slice(records);
        Ok(())
    };
    match codec {
        1 => Gzip::compress(&mut out, put),
        2 => Snappy::compress(&mut out, put),
        3 => Lz4::compress(&mut out, put),
        4 => Zstd::compress(&mut out, put),
        _ => put(&mut out),
    }
    .map_err(io::Error::other)?;
    Ok(out)
}
