//! Writes a [`Map`] as OSM PBF: <https://wiki.openstreetmap.org/wiki/PBF_Format>.
//!
//! ```text
//! file  = (size: u32 big-endian, BlobHeader, Blob)*
//! Blob  = zlib(HeaderBlock) once, then zlib(PrimitiveBlock)s of nodes, then of ways
//! ```
//! Nothing depends on the clock or on hashing order: the same map always gives the same bytes.

use std::collections::HashMap;
use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use crate::osm::{Map, Tags};

/// Elements in one PrimitiveBlock: the format recommends at most 8,000.
const BLOCK_ELEMENTS: usize = 8_000;

/// The whole file.
pub fn write(map: &Map) -> Vec<u8> {
    let mut file = Vec::new();
    blob(&mut file, "OSMHeader", &header(map));
    for (chunk, nodes) in map.nodes.chunks(BLOCK_ELEMENTS).enumerate() {
        let mut strings = Strings::new();
        let first = (chunk * BLOCK_ELEMENTS) as i64 + 1;
        let (mut ids, mut lats, mut lngs, mut tags) =
            (Delta::new(), Delta::new(), Delta::new(), Vec::new());
        for (i, node) in nodes.iter().enumerate() {
            ids.push(first + i as i64);
            lats.push(node.position.lat);
            lngs.push(node.position.lng);
            for (key, value) in &node.tags {
                varint(&mut tags, strings.index(key));
                varint(&mut tags, strings.index(value));
            }
            varint(&mut tags, 0);
        }
        let mut dense = Message::new();
        dense
            .bytes(1, &ids.encoded)
            .bytes(8, &lats.encoded)
            .bytes(9, &lngs.encoded)
            .bytes(10, &tags);
        block(&mut file, &strings, Message::new().bytes(2, &dense.0));
    }
    for (chunk, ways) in map.ways.chunks(BLOCK_ELEMENTS).enumerate() {
        let (mut strings, mut group) = (Strings::new(), Message::new());
        for (i, way) in ways.iter().enumerate() {
            let mut refs = Delta::new();
            way.nodes.iter().for_each(|&node| refs.push(node));
            let (keys, values) = strings.indices(&way.tags);
            let mut message = Message::new();
            message.varint(1, (chunk * BLOCK_ELEMENTS + i + 1) as u64);
            message
                .bytes(2, &keys)
                .bytes(3, &values)
                .bytes(8, &refs.encoded);
            group.bytes(3, &message.0);
        }
        block(&mut file, &strings, &group);
    }
    file
}

fn header(map: &Map) -> Message {
    let [south_west, north_east] = map.bounds;
    let nano = |e7: i64| zigzag(e7 * 100);
    let mut bbox = Message::new();
    bbox.varint(1, nano(south_west.lng))
        .varint(2, nano(north_east.lng));
    bbox.varint(3, nano(north_east.lat))
        .varint(4, nano(south_west.lat));
    let mut header = Message::new();
    header.bytes(1, &bbox.0);
    header.bytes(4, b"OsmSchema-V0.6").bytes(4, b"DenseNodes");
    header.bytes(5, b"Sort.Type_then_ID");
    header.bytes(16, b"map-compile");
    header
}

fn block(file: &mut Vec<u8>, strings: &Strings, group: &Message) {
    let mut table = Message::new();
    for string in &strings.table {
        table.bytes(1, string.as_bytes());
    }
    // Granularity stays at its default of 100 nanodegrees, which is the unit of `Position`.
    blob(
        file,
        "OSMData",
        Message::new().bytes(1, &table.0).bytes(2, &group.0),
    );
}

fn blob(file: &mut Vec<u8>, kind: &str, content: &Message) {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let compressed = zlib
        .write_all(&content.0)
        .and_then(|()| zlib.finish())
        .expect("a Vec takes every write");
    let mut blob = Message::new();
    blob.varint(2, content.0.len() as u64).bytes(3, &compressed);
    let mut header = Message::new();
    header
        .bytes(1, kind.as_bytes())
        .varint(3, blob.0.len() as u64);
    file.extend((header.0.len() as u32).to_be_bytes());
    file.extend(&header.0);
    file.extend(&blob.0);
}

/// A protobuf message under construction.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Message {
        Message(Vec::new())
    }

    fn varint(&mut self, field: u64, value: u64) -> &mut Message {
        varint(&mut self.0, field << 3);
        varint(&mut self.0, value);
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Message {
        varint(&mut self.0, field << 3 | 2);
        varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }
}

/// Packed `sint64` differences.
struct Delta {
    last: i64,
    encoded: Vec<u8>,
}

impl Delta {
    fn new() -> Delta {
        Delta {
            last: 0,
            encoded: Vec::new(),
        }
    }

    fn push(&mut self, value: i64) {
        varint(&mut self.encoded, zigzag(value - self.last));
        self.last = value;
    }
}

/// A block's string table; index 0 is the empty string, which ends a dense node's tags.
struct Strings {
    table: Vec<String>,
    indices: HashMap<String, u64>,
}

impl Strings {
    fn new() -> Strings {
        Strings {
            table: vec![String::new()],
            indices: HashMap::new(),
        }
    }

    fn index(&mut self, string: &str) -> u64 {
        if let Some(&index) = self.indices.get(string) {
            return index;
        }
        let index = self.table.len() as u64;
        self.table.push(string.into());
        self.indices.insert(string.into(), index);
        index
    }

    fn indices(&mut self, tags: &Tags) -> (Vec<u8>, Vec<u8>) {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value) in tags {
            varint(&mut keys, self.index(key));
            varint(&mut values, self.index(value));
        }
        (keys, values)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_and_zigzag_match_the_protobuf_specification() {
        let mut out = Vec::new();
        varint(&mut out, 150);
        assert_eq!(out, [0x96, 0x01]);
        assert_eq!([0, -1, 1, -2, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX]);
    }
}
