//! Small OSM files made here, whole and damaged: what is read from them, and that nothing in them can hurt.

use osmpbfreader::fileformat::{Blob, BlobHeader};
use osmpbfreader::osmformat::relation::MemberType;
use osmpbfreader::osmformat::{HeaderBlock, Node, PrimitiveBlock, PrimitiveGroup, Relation, Way};
use proptest::prelude::*;
use prost::Message as _;
use protobuf::Message;
use tinymvt::vector_tile::Tile;

use crate::tiles::{TileId, cut};

/// Appends a blob without compression, so that a damaged byte is read as such.
fn blob(file: &mut Vec<u8>, kind: &str, message: &impl Message) {
    let mut blob = Blob::new();
    blob.set_raw(message.write_to_bytes().unwrap());
    let blob = blob.write_to_bytes().unwrap();
    let mut header = BlobHeader::new();
    header.set_type(kind.to_owned());
    header.set_datasize(blob.len() as i32);
    let header = header.write_to_bytes().unwrap();
    file.extend((header.len() as u32).to_be_bytes());
    file.extend(header);
    file.extend(blob);
}

fn header(features: &[&str]) -> HeaderBlock {
    let mut header = HeaderBlock::new();
    header.required_features = features.iter().map(|f| (*f).to_owned()).collect();
    header
}

/// A block under construction: texts are looked up in its own table.
#[derive(Default)]
struct Block {
    texts: Vec<String>,
    group: PrimitiveGroup,
}

impl Block {
    fn text(&mut self, text: &str) -> u32 {
        let found = self.texts.iter().position(|t| t == text);
        let index = found.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        index as u32
    }

    fn tags(&mut self, tags: &[(&str, &str)]) -> (Vec<u32>, Vec<u32>) {
        tags.iter()
            .map(|(key, value)| (self.text(key), self.text(value)))
            .unzip()
    }

    /// Thousandths of a degree north and east of the origin.
    fn node(&mut self, id: i64, lng: i64, lat: i64, tags: &[(&str, &str)]) {
        let mut node = Node::new();
        node.set_id(id);
        node.set_lat(lat * 10_000);
        node.set_lon(lng * 10_000);
        (node.keys, node.vals) = self.tags(tags);
        self.group.nodes.push(node);
    }

    fn way(&mut self, id: i64, nodes: &[i64], tags: &[(&str, &str)]) {
        let mut way = Way::new();
        way.set_id(id);
        way.refs = steps(nodes);
        (way.keys, way.vals) = self.tags(tags);
        self.group.ways.push(way);
    }

    fn relation(&mut self, members: &[(i64, &str)], tags: &[(&str, &str)]) {
        let mut relation = Relation::new();
        relation.set_id(1);
        let ids: Vec<i64> = members.iter().map(|(id, _)| *id).collect();
        relation.memids = steps(&ids);
        relation.types = vec![MemberType::WAY.into(); ids.len()];
        relation.roles_sid = members
            .iter()
            .map(|(_, role)| self.text(role) as i32)
            .collect();
        (relation.keys, relation.vals) = self.tags(tags);
        self.group.relations.push(relation);
    }

    fn build(&self) -> PrimitiveBlock {
        let mut block = PrimitiveBlock::new();
        let texts = self.texts.iter().map(|text| text.as_bytes().to_vec());
        block.stringtable.mut_or_insert_default().s = texts.collect();
        block.primitivegroup.push(self.group.clone());
        block
    }
}

fn steps(ids: &[i64]) -> Vec<i64> {
    let before = [0].into_iter().chain(ids.iter().copied());
    ids.iter()
        .zip(before)
        .map(|(id, before)| id - before)
        .collect()
}

/// A street, a park with a hole of which one member is missing elsewhere, and a coast, around the origin.
fn small_map() -> Block {
    let mut block = Block::default();
    block.text("");
    for (i, (lng, lat)) in [
        (-9, -9),
        (9, -9),
        (9, 9),
        (-9, 9),
        (-3, -3),
        (3, -3),
        (3, 3),
        (-3, 3),
    ]
    .into_iter()
    .enumerate()
    {
        block.node(i as i64 + 1, lng, lat, &[]);
    }
    block.node(9, 0, 8, &[("place", "village"), ("name", "Null Island")]);
    block.way(1, &[1, 2, 3], &[]);
    block.way(2, &[3, 4, 1], &[]);
    block.way(3, &[5, 6, 7, 8, 5], &[]);
    // Node 100 is not in the extract: the street has two pieces.
    block.way(
        4,
        &[1, 5, 100, 7, 3],
        &[("highway", "primary"), ("name", "Main Street")],
    );
    block.way(5, &[6, 5, 8, 7, 6], &[("natural", "coastline")]);
    block.relation(
        &[(1, "outer"), (2, "outer"), (3, "inner"), (77, "outer")],
        &[("type", "multipolygon"), ("leisure", "park")],
    );
    block
}

fn file(header: &HeaderBlock, data: &PrimitiveBlock) -> Vec<u8> {
    let mut file = Vec::new();
    blob(&mut file, "OSMHeader", header);
    blob(&mut file, "OSMData", data);
    file
}

const KNOWN: [&str; 2] = ["OsmSchema-V0.6", "DenseNodes"];
/// The tile south-west of the origin, which is a corner of four.
const TILE: TileId = TileId {
    z: 14,
    x: 8191,
    y: 8192,
};

#[test]
fn a_small_file_becomes_its_features() {
    let tile = cut(&file(&header(&KNOWN), &small_map().build()), TILE).unwrap();
    let tile = Tile::decode(&tile[..]).unwrap();
    let layers: Vec<(&str, usize)> = tile
        .layers
        .iter()
        .map(|layer| (layer.name.as_str(), layer.features.len()))
        .collect();
    assert_eq!(
        layers,
        [
            ("ocean", 1),
            ("land", 1),
            ("streets", 1),
            ("street_labels", 1)
        ]
    );
}

#[test]
fn what_a_file_must_not_have_is_named() {
    let mut wrong_index = small_map();
    wrong_index.group.ways[3].vals[0] = 99;
    let mut too_long = file(&header(&KNOWN), &small_map().build());
    too_long[0] = 0xff;
    for (file, expected) in [
        (
            file(&header(&["HistoricalInformation"]), &small_map().build()),
            "it needs `HistoricalInformation`, which is not supported",
        ),
        (
            file(&header(&KNOWN), &wrong_index.build()),
            "is damaged (index out of range): fetch it again",
        ),
        (too_long, "it is not an OpenStreetMap PBF file"),
    ] {
        let error = cut(&file, TILE).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn damaged_bytes_are_read_or_refused_but_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut_at in any::<prop::sample::Index>(),
    ) {
        let mut file = file(&header(&KNOWN), &small_map().build());
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        // Every zoom level, because damaged nodes may be anywhere.
        for z in [0, 7, 14] {
            let _ = cut(&file, TileId { z, x: (1 << z) / 2, y: (1 << z) / 2 });
        }
        file.truncate(cut_at.index(file.len()));
        let _ = cut(&file, TILE);
    }
}
