//! Reads an OSM PBF file: <https://wiki.openstreetmap.org/wiki/PBF_Format>.
//!
//! ```text
//! file = (size of BlobHeader: u32 big-endian, BlobHeader, Blob)*
//! ```
//! The messages are `osmpbfreader`'s. Its own reader panics on a file that ends early and on indexes out of range, so
//! the framing and the look-ups are here, with every length checked before anything is allocated for it.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use osmpbfreader::fileformat::{Blob, BlobHeader};
use osmpbfreader::osmformat::{
    HeaderBBox, HeaderBlock, PrimitiveBlock, PrimitiveGroup, relation::MemberType,
};
use protobuf::Message;

use super::geometry::{Bounds, Point};

/// The format's limit on a BlobHeader.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The format's limit on a Blob, packed and unpacked.
const BLOB_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a reader must understand to read the file; other required features change what the data means.
const KNOWN_FEATURES: [&str; 2] = ["OsmSchema-V0.6", "DenseNodes"];

/// Why a file can't be read as a map.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("it is not an OpenStreetMap PBF file (no OSMHeader at its start)")]
    NotPbf,
    #[error("it is cut short at byte {at}: fetch it again")]
    CutShort { at: usize },
    #[error("its block at byte {at} is damaged ({what}): fetch it again")]
    Damaged { at: usize, what: &'static str },
    #[error("it needs `{0}`, which is not supported: convert it with `osmium cat -o new.osm.pbf`")]
    Unsupported(String),
}

/// What the file says of itself.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// The box that the file was cut to; often absent.
    pub(crate) bounds: Option<Bounds>,
    /// The program that wrote it; often empty.
    pub(crate) writing_program: String,
}

/// One node, way or relation.
pub(crate) enum Element<'a> {
    Node {
        id: i64,
        point: Point,
        tags: Tags<'a>,
    },
    Way {
        id: i64,
        nodes: Vec<i64>,
        tags: Tags<'a>,
    },
    Relation {
        tags: Tags<'a>,
        members: Vec<Member<'a>>,
    },
}

/// A way that is a member of a relation.
pub(crate) struct Member<'a> {
    pub(crate) way: i64,
    pub(crate) role: &'a str,
}

/// The tags of one element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags<'a>(pub(crate) Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// The value of `key`, if it is set and says something.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(k, v)| *k == key && !v.is_empty())
            .map(|(_, v)| *v)
    }

    /// Whether `key` has one of `values`.
    pub(crate) fn is(&self, key: &str, values: &[&str]) -> bool {
        self.get(key).is_some_and(|value| values.contains(&value))
    }
}

/// Hands every element of the file to `each`, in the file's order: nodes, then ways, then relations, as a rule.
///
/// # Errors
/// When the bytes are not a whole, valid PBF file.
pub(crate) fn read(bytes: &[u8], mut each: impl FnMut(Element<'_>)) -> Result<Header, Error> {
    let mut header = None;
    let mut rest = Input { bytes, at: 0 };
    while !rest.is_empty() {
        let at = rest.at;
        let damaged = |what| Error::Damaged { at, what };
        let (kind, blob) = rest.next_blob().map_err(|error| match header {
            // A file of another kind seldom fails in a telling way.
            None => Error::NotPbf,
            Some(_) => error,
        })?;
        match kind.as_str() {
            "OSMHeader" => {
                let block = HeaderBlock::parse_from_bytes(&unpack(&blob, at)?)
                    .map_err(|_| damaged("header"))?;
                header = Some(self::header(&block)?);
            }
            _ if header.is_none() => return Err(Error::NotPbf),
            "OSMData" => {
                let block = PrimitiveBlock::parse_from_bytes(&unpack(&blob, at)?)
                    .map_err(|_| damaged("data"))?;
                elements(&block, &mut each).ok_or_else(|| damaged("index out of range"))?;
            }
            // Other kinds are to be skipped, says the format.
            _ => {}
        }
    }
    header.ok_or(Error::NotPbf)
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len);
        let taken = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(Error::CutShort {
                at: self.bytes.len(),
            })?;
        self.at += len;
        Ok(taken)
    }

    fn next_blob(&mut self) -> Result<(String, Blob), Error> {
        let at = self.at;
        let damaged = |what| Error::Damaged { at, what };
        let size = self
            .take(4)?
            .iter()
            .fold(0, |size, &byte| size << 8 | usize::from(byte));
        if size > HEADER_BYTES_MAX {
            return Err(damaged("header too large"));
        }
        let header =
            BlobHeader::parse_from_bytes(self.take(size)?).map_err(|_| damaged("blob header"))?;
        let size = usize::try_from(header.datasize()).map_err(|_| damaged("negative size"))?;
        if size > BLOB_BYTES_MAX {
            return Err(damaged("too large"));
        }
        let blob = Blob::parse_from_bytes(self.take(size)?).map_err(|_| damaged("blob"))?;
        Ok((header.type_().to_owned(), blob))
    }
}

fn unpack(blob: &Blob, at: usize) -> Result<Cow<'_, [u8]>, Error> {
    if blob.has_raw() {
        return Ok(Cow::Borrowed(blob.raw()));
    }
    if !blob.has_zlib_data() {
        return Err(Error::Unsupported(
            "a compression other than zlib".to_owned(),
        ));
    }
    let mut unpacked = Vec::new();
    // One byte more than allowed tells a block that is too large from one that fits exactly.
    ZlibDecoder::new(blob.zlib_data())
        .take(BLOB_BYTES_MAX as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| Error::Damaged { at, what: "zlib" })?;
    if unpacked.len() > BLOB_BYTES_MAX {
        return Err(Error::Damaged {
            at,
            what: "too large",
        });
    }
    Ok(Cow::Owned(unpacked))
}

fn header(block: &HeaderBlock) -> Result<Header, Error> {
    let unknown = |feature: &&String| !KNOWN_FEATURES.contains(&feature.as_str());
    if let Some(feature) = block.required_features.iter().find(unknown) {
        return Err(Error::Unsupported(feature.clone()));
    }
    let degrees = |nano: i64| nano as f64 * 1e-9;
    let bounds = |bbox: &HeaderBBox| Bounds {
        west: degrees(bbox.left()),
        south: degrees(bbox.bottom()),
        east: degrees(bbox.right()),
        north: degrees(bbox.top()),
    };
    Ok(Header {
        bounds: block
            .bbox
            .as_ref()
            .map(bounds)
            .filter(|b| b.west < b.east && b.south < b.north),
        writing_program: block.writingprogram().to_owned(),
    })
}

/// `None` when an index points outside of its table.
fn elements(block: &PrimitiveBlock, each: &mut impl FnMut(Element<'_>)) -> Option<()> {
    let strings: Vec<Cow<'_, str>> = block
        .stringtable
        .s
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect();
    let reader = Block {
        block,
        strings: &strings,
    };
    for group in &block.primitivegroup {
        reader.nodes(group, each)?;
        reader.dense_nodes(group, each)?;
        reader.ways(group, each)?;
        reader.relations(group, each)?;
    }
    Some(())
}

struct Block<'a> {
    block: &'a PrimitiveBlock,
    strings: &'a [Cow<'a, str>],
}

impl<'a> Block<'a> {
    fn nodes(&self, group: &PrimitiveGroup, each: &mut impl FnMut(Element<'_>)) -> Option<()> {
        for node in &group.nodes {
            each(Element::Node {
                id: node.id(),
                point: self.point(node.lon(), node.lat()),
                tags: self.tags(&node.keys, &node.vals)?,
            });
        }
        Some(())
    }

    fn dense_nodes(
        &self,
        group: &PrimitiveGroup,
        each: &mut impl FnMut(Element<'_>),
    ) -> Option<()> {
        let dense = &group.dense;
        let mut words = dense.keys_vals.iter();
        let (mut id, mut lng, mut lat) = (0i64, 0i64, 0i64);
        for ((id_step, lng_step), lat_step) in dense.id.iter().zip(&dense.lon).zip(&dense.lat) {
            id = id.wrapping_add(*id_step);
            lng = lng.wrapping_add(*lng_step);
            lat = lat.wrapping_add(*lat_step);
            let mut tags = Vec::new();
            // Keys and values alternate; 0 ends a node's tags, and an empty list stands for no tags at all.
            while let Some(&key) = words.next().filter(|&&key| key != 0) {
                tags.push((
                    self.string(usize::try_from(key).ok()?)?,
                    self.string(usize::try_from(*words.next()?).ok()?)?,
                ));
            }
            each(Element::Node {
                id,
                point: self.point(lng, lat),
                tags: Tags(tags),
            });
        }
        Some(())
    }

    fn ways(&self, group: &PrimitiveGroup, each: &mut impl FnMut(Element<'_>)) -> Option<()> {
        for way in &group.ways {
            each(Element::Way {
                id: way.id(),
                nodes: running_sums(&way.refs).collect(),
                tags: self.tags(&way.keys, &way.vals)?,
            });
        }
        Some(())
    }

    fn relations(&self, group: &PrimitiveGroup, each: &mut impl FnMut(Element<'_>)) -> Option<()> {
        for relation in &group.relations {
            let mut members = Vec::new();
            let ids = running_sums(&relation.memids);
            for ((way, kind), role) in ids.zip(&relation.types).zip(&relation.roles_sid) {
                if kind.enum_value() == Ok(MemberType::WAY) {
                    let role = self.string(usize::try_from(*role).ok()?)?;
                    members.push(Member { way, role });
                }
            }
            let tags = self.tags(&relation.keys, &relation.vals)?;
            each(Element::Relation { tags, members });
        }
        Some(())
    }

    fn point(&self, lng: i64, lat: i64) -> Point {
        let granularity = f64::from(self.block.granularity());
        let degrees = |offset: i64, units: i64| (offset as f64 + granularity * units as f64) * 1e-9;
        Point::from_degrees(
            degrees(self.block.lon_offset(), lng),
            degrees(self.block.lat_offset(), lat),
        )
    }

    fn tags(&self, keys: &[u32], values: &[u32]) -> Option<Tags<'a>> {
        let string = |index: &u32| self.string(usize::try_from(*index).ok()?);
        keys.iter()
            .zip(values)
            .map(|(key, value)| Some((string(key)?, string(value)?)))
            .collect::<Option<Vec<_>>>()
            .map(Tags)
    }

    fn string(&self, index: usize) -> Option<&'a str> {
        self.strings.get(index).map(AsRef::as_ref)
    }
}

/// Identifiers are stored as differences.
fn running_sums(steps: &[i64]) -> impl Iterator<Item = i64> {
    steps.iter().scan(0i64, |sum, step| {
        *sum = sum.wrapping_add(*step);
        Some(*sum)
    })
}
