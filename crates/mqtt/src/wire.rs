//! The primitive types of the wire (MQTT 5.0 §1.5), read with every length checked against what is there.
//!
//! ```text
//! two-byte integer   u16, big endian
//! four-byte integer  u32, big endian
//! variable integer   1 to 4 bytes, 7 bits each, low bits first, top bit: more follow
//! string             u16 length, that many bytes of UTF-8 without U+0000
//! binary             u16 length, that many bytes
//! ```

use std::fmt;
use std::ops::Deref;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Violation;

/// The largest value of a variable byte integer: 268 435 455 (§1.5.5).
pub const VARINT_MAX: u32 = 0x0fff_ffff;

/// The most bytes of a string and of binary data: their length is a u16 (§1.5.4, §1.5.6).
pub const FIELD_BYTES_MAX: usize = u16::MAX as usize;

/// A UTF-8 string of the wire; shares the packet's buffer.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Checks bytes as §1.5.4 wants: at most [`FIELD_BYTES_MAX`] of well-formed UTF-8 without U+0000.
    ///
    /// # Errors
    /// [`Violation::MalformedString`].
    pub fn new(bytes: Bytes) -> Result<Self, Violation> {
        match std::str::from_utf8(&bytes) {
            Ok(text) if text.len() <= FIELD_BYTES_MAX && !text.contains('\0') => Ok(Self(bytes)),
            _ => Err(Violation::MalformedString),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked in `new`; a second check costs less than unsafe code would in trust.
        std::str::from_utf8(&self.0).expect("checked when it was made")
    }

    /// The bytes, sharing the buffer.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    /// For text of our own; a U+0000 in it is cut out, and so is what is too long, so the value is always valid on the
    /// wire.
    fn from(text: &str) -> Self {
        let mut text = text.replace('\0', "");
        text.truncate(text.floor_char_boundary(FIELD_BYTES_MAX));
        Self(Bytes::from(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Reads from the body of one packet; every read fails instead of running past its end.
#[derive(Debug)]
pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(body: Bytes) -> Self {
        Self(body)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Violation> {
        self.0.try_get_u8().map_err(|_| Violation::Truncated)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Violation> {
        self.0.try_get_u16().map_err(|_| Violation::Truncated)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        self.0.try_get_u32().map_err(|_| Violation::Truncated)
    }

    pub(crate) fn varint(&mut self) -> Result<u32, Violation> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Violation::MalformedVarint)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, Violation> {
        if length > self.0.len() {
            return Err(Violation::Truncated);
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, Violation> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(crate) fn text(&mut self) -> Result<Text, Violation> {
        Text::new(self.binary()?)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.0
    }
}

/// How many bytes a variable byte integer takes.
pub(crate) fn varint_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

pub(crate) fn put_varint(out: &mut BytesMut, mut value: u32) {
    debug_assert!(value <= VARINT_MAX);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

/// How many of the bytes [`put_binary`] writes. Longer values do not come from the wire, and ours are checked.
pub(crate) fn binary_len(bytes: &[u8]) -> usize {
    bytes.len().min(FIELD_BYTES_MAX)
}

/// Writes a length and the bytes.
pub(crate) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    let length = binary_len(bytes);
    out.put_u16(length as u16);
    out.put_slice(&bytes[..length]);
}

pub(crate) fn put_text(out: &mut BytesMut, text: &str) {
    put_binary(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_as_in_table_1_1() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (VARINT_MAX, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint_len(value), bytes.len());
            let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
            assert_eq!(reader.varint(), Ok(value));
        }
        let mut reader = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]));
        assert_eq!(reader.varint(), Err(Violation::MalformedVarint));
    }

    #[test]
    fn mqtt_1_5_4_strings_are_utf8_without_null() {
        for bad in [&b"a\0b"[..], b"\xff", b"\xed\xa0\x80"] {
            assert_eq!(
                Text::new(Bytes::copy_from_slice(bad)),
                Err(Violation::MalformedString)
            );
        }
        // [MQTT-1.5.4-3] U+FEFF is kept wherever it stands.
        let bom = Text::new(Bytes::from_static(b"\xef\xbb\xbfa")).unwrap();
        assert_eq!(bom.as_str(), "\u{feff}a");
    }

    #[test]
    fn mqtt_1_5_4_strings_are_no_longer_than_their_length_can_say() {
        let long = "é".repeat(FIELD_BYTES_MAX);
        let bytes = Bytes::from(long.clone().into_bytes());
        assert_eq!(Text::new(bytes.clone()), Err(Violation::MalformedString));
        assert!(Text::new(bytes.slice(..FIELD_BYTES_MAX - 1)).is_ok());
        // Ours are cut, but not inside a character.
        assert_eq!(Text::from(long.as_str()).len(), FIELD_BYTES_MAX - 1);
    }

    #[test]
    fn a_length_past_the_end_is_an_error() {
        let mut reader = Reader::new(Bytes::from_static(&[0, 5, b'a']));
        assert_eq!(reader.binary(), Err(Violation::Truncated));
    }
}
