//! Bytes into the codec: it never panics, and whatever it reads is written and read back the same.

use bytes::BytesMut;
use mqtt::{Version, codec};

/// Larger packets are refused before they are waited for, so that the fuzzer's memory stays small.
const PACKET_BYTES_MAX: usize = 1 << 16;

/// The first byte picks the version; the rest is what comes from the peer.
pub(crate) fn run(input: &[u8]) {
    let Some((version, wire)) = input.split_first() else {
        return;
    };
    let version = [Version::V3_1, Version::V3_1_1, Version::V5][usize::from(version % 3)];
    let mut buffer = BytesMut::from(wire);
    while let Ok(Some(packet)) = codec::decode(&mut buffer, version, PACKET_BYTES_MAX) {
        let mut written = BytesMut::new();
        codec::encode(&packet, version, &mut written);
        let read = codec::decode(&mut written, version, usize::MAX);
        assert_eq!(read, Ok(Some(packet)));
        assert!(written.is_empty(), "bytes after the packet");
    }
}
