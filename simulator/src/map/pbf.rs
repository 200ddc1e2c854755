//! Reads an `.osm.pbf` file: the drivable ways, the named places, the nodes of both, and the turn restrictions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use fleet::Kind;
use osmpbfreader::{NodeId, OsmId, OsmPbfReader, Relation, WayId};

use super::place_class;
use super::profile::{self, Rules};
use super::restriction::{self, Restriction, Via};
use super::{Error, Point};

/// What a map file holds for one kind of vehicle. Nodes are known by their index in `points`.
#[derive(Debug, Default)]
pub struct Extract {
    /// Positions of the nodes that the file has of those that ways refer to.
    ///
    /// A node with a barrier that stops the vehicle is here once for each way that passes it, so that nothing joins
    /// there.
    pub points: Vec<Point>,
    /// The drivable ways.
    pub ways: Vec<Way>,
    /// What one may not do where they meet.
    pub restrictions: Vec<Restriction>,
    /// Named places that are worth a trip.
    pub places: Vec<Point>,
}

/// A drivable way.
#[derive(Debug)]
pub struct Way {
    /// Its nodes in order; nothing where the file does not have the node, as happens at the edge of an extract, and
    /// between the two sides of a barrier.
    pub nodes: Vec<Option<u32>>,
    /// Who may drive which way.
    pub rules: Rules,
}

/// The largest block that the format allows (OSM wiki, "PBF Format": 32 MiB), and the largest header of one.
const BLOB_BYTES_MAX: u64 = 32 * 1024 * 1024;
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// Reads what `kind` needs of the file at `path`.
///
/// # Errors
/// When the file is missing, is no `.osm.pbf`, or is cut short.
pub fn read(path: &Path, kind: Kind) -> Result<Extract, Error> {
    let file = File::open(path).map_err(|error| Error::open(path, &error))?;
    let mut file = BufReader::new(file);
    check_framing(&mut file).map_err(|reason| Error::damaged(path, &reason))?;
    let damaged = |error: osmpbfreader::Error| Error::damaged(path, &error.to_string());

    let mut reader = OsmPbfReader::new(file);
    reader.rewind().map_err(damaged)?;
    let mut roads: Vec<Road> = Vec::new();
    let mut sites: Vec<Vec<NodeId>> = Vec::new();
    for way in reader.par_iter_ways() {
        let way = way.map_err(damaged)?;
        if let Some(rules) = profile::rules(kind, &way.tags) {
            roads.push(Road {
                id: way.id,
                nodes: way.nodes,
                rules,
            });
        } else if place_class::is_place(kind, &way.tags) {
            sites.push(way.nodes);
        }
    }

    let mut ids: Vec<NodeId> = roads
        .iter()
        .map(|road| &road.nodes)
        .chain(&sites)
        .flatten()
        .copied()
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found: Vec<Option<Point>> = vec![None; ids.len()];
    let mut barred = BTreeSet::new();
    let mut places = Vec::new();
    reader.rewind().map_err(damaged)?;
    for node in reader.par_iter_nodes() {
        let node = node.map_err(damaged)?;
        let point = Point::from_decimicro(node.decimicro_lat, node.decimicro_lon);
        let Some(point) = point else { continue };
        if let Ok(index) = ids.binary_search(&node.id) {
            found[index] = Some(point);
            if profile::is_barred(kind, &node.tags) {
                barred.insert(node.id);
            }
        }
        if place_class::is_place(kind, &node.tags) {
            places.push(point);
        }
    }
    places.extend(sites.iter().filter_map(|nodes| {
        centre(
            nodes
                .iter()
                .filter_map(|id| found[ids.binary_search(id).ok()?]),
        )
    }));
    let nodes = Nodes::new(ids, &found, barred);
    let mut restrictions = Vec::new();
    let way_of: BTreeMap<WayId, u32> = roads.iter().map(|road| road.id).zip(0..).collect();
    reader.rewind().map_err(damaged)?;
    for relation in reader.par_iter_relations() {
        let relation = relation.map_err(damaged)?;
        if let Some(only) = restriction::is_only(kind, &relation.tags) {
            restrictions.extend(resolve(only, &relation, &way_of, &nodes));
        }
    }
    Ok(nodes.gather(roads, places, restrictions))
}

/// A drivable way as the file has it.
struct Road {
    id: WayId,
    nodes: Vec<NodeId>,
    rules: Rules,
}

/// A restriction by the indices of its members. Nothing when it does not concern the roads that we drive: when a way of
/// it is none of them, or when it is not whole.
fn resolve(
    only: bool,
    relation: &Relation,
    way_of: &BTreeMap<WayId, u32>,
    nodes: &Nodes,
) -> Option<Restriction> {
    let ways = |role: &str| -> Vec<Option<u32>> {
        let members = relation.refs.iter().filter(|member| member.role == role);
        members
            .filter_map(|member| member.member.way())
            .map(|id| way_of.get(&id).copied())
            .collect()
    };
    let drivable = |role| -> Vec<u32> { ways(role).into_iter().flatten().collect() };
    let (from, to) = (drivable("from"), drivable("to"));
    let node = relation.refs.iter().find_map(|member| match member.member {
        OsmId::Node(id) if member.role == "via" => Some(id),
        _ => None,
    });
    let via = match node {
        Some(id) => Via::Node(nodes.index(id)?),
        None => Via::Ways(ways("via").into_iter().collect::<Option<Vec<u32>>>()?),
    };
    let whole = !from.is_empty() && !to.is_empty() && via != Via::Ways(Vec::new());
    whole.then_some(Restriction {
        only,
        from,
        via,
        to,
    })
}

/// The nodes that the file has, by their id.
struct Nodes {
    ids: Vec<NodeId>,
    index_of: Vec<Option<u32>>,
    points: Vec<Point>,
    barred: BTreeSet<NodeId>,
}

impl Nodes {
    /// `ids` in order, and where each of them is.
    fn new(ids: Vec<NodeId>, found: &[Option<Point>], barred: BTreeSet<NodeId>) -> Self {
        let mut points = Vec::new();
        let index_of = found
            .iter()
            .map(|point| {
                let index = u32::try_from(points.len()).ok()?;
                points.push((*point)?);
                Some(index)
            })
            .collect();
        Self {
            ids,
            index_of,
            points,
            barred,
        }
    }

    fn index(&self, id: NodeId) -> Option<u32> {
        self.index_of[self.ids.binary_search(&id).ok()?]
    }

    /// Replaces node ids by indices.
    fn gather(
        mut self,
        roads: Vec<Road>,
        places: Vec<Point>,
        restrictions: Vec<Restriction>,
    ) -> Extract {
        let ways = roads
            .into_iter()
            .map(|road| {
                let mut nodes = Vec::with_capacity(road.nodes.len());
                for (at, id) in road.nodes.iter().enumerate() {
                    let index = self.index(*id);
                    if !self.barred.contains(id) {
                        nodes.push(index);
                        continue;
                    }
                    if at > 0 {
                        nodes.push(self.copy(index));
                    }
                    nodes.push(None);
                    if at + 1 < road.nodes.len() {
                        nodes.push(self.copy(index));
                    }
                }
                Way {
                    nodes,
                    rules: road.rules,
                }
            })
            .collect();
        Extract {
            points: self.points,
            ways,
            places,
            restrictions,
        }
    }

    /// One more node at the same place.
    fn copy(&mut self, index: Option<u32>) -> Option<u32> {
        let copy = u32::try_from(self.points.len()).ok()?;
        self.points.push(self.points[index? as usize]);
        Some(copy)
    }
}

/// The mean of the corners: good enough to find the road beside a building.
fn centre(corners: impl Iterator<Item = Point>) -> Option<Point> {
    let (mut lat, mut lng, mut count) = (0_i64, 0_i64, 0_i64);
    for corner in corners {
        lat += i64::from(corner.lat);
        lng += i64::from(corner.lng);
        count += 1;
    }
    let mean = |sum: i64| i32::try_from(sum.checked_div(count)?).ok();
    Some(Point {
        lat: mean(lat)?,
        lng: mean(lng)?,
    })
}

/// Walks over the blocks without decoding them, so that a file that is cut short is named as such.
///
/// ```text
/// | header length u32 BE | BlobHeader (protobuf: 1 type, 3 datasize) | Blob (datasize bytes) | ...
/// ```
fn check_framing(file: &mut (impl Read + Seek)) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let bytes = file.seek(SeekFrom::End(0)).map_err(io)?;
    let cut = |at: u64| format!("it is cut short at byte {at}");
    let mut at = 0;
    while at < bytes {
        file.seek(SeekFrom::Start(at)).map_err(io)?;
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(|_| cut(bytes))?;
        let length = u32::from_be_bytes(length);
        if length == 0 || length > HEADER_BYTES_MAX {
            return Err(format!("it is not an .osm.pbf file (byte {at})"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|_| cut(bytes))?;
        let Some(blob_bytes) = datasize(&header).filter(|size| *size <= BLOB_BYTES_MAX) else {
            return Err(format!("it is not an .osm.pbf file (byte {at})"));
        };
        at += 4 + u64::from(length) + blob_bytes;
        if at > bytes {
            return Err(cut(bytes));
        }
    }
    if bytes == 0 {
        return Err("it is empty".to_owned());
    }
    Ok(())
}

/// The `datasize` of a protobuf `BlobHeader`; nothing when these bytes are not one.
fn datasize(mut header: &[u8]) -> Option<u64> {
    let mut size = None;
    while !header.is_empty() {
        let tag = varint(&mut header)?;
        match (tag >> 3, tag & 7) {
            (3, 0) => size = Some(varint(&mut header)?),
            (_, 0) => drop(varint(&mut header)?),
            (_, 2) => {
                let length = usize::try_from(varint(&mut header)?).ok()?;
                header = header.get(length..)?;
            }
            _ => return None,
        }
    }
    size
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// One block: header with type `OSMHeader` and `datasize`, then that many bytes.
    fn block(datasize: u8, bytes: usize) -> Vec<u8> {
        let mut header = vec![0x0a, 9];
        header.extend(b"OSMHeader");
        header.extend([0x18, datasize]);
        let mut block = u32::try_from(header.len()).unwrap().to_be_bytes().to_vec();
        block.extend(header);
        block.extend(vec![0; bytes]);
        block
    }

    #[test]
    fn framing_says_what_is_wrong() {
        let whole = [block(5, 5), block(0, 0)].concat();
        assert_eq!(check_framing(&mut Cursor::new(&whole)), Ok(()));
        for (bytes, reason) in [
            (vec![], "it is empty"),
            (
                b"hello, world".to_vec(),
                "it is not an .osm.pbf file (byte 0)",
            ),
            (block(5, 4), "it is cut short at byte 21"),
            (
                whole[..whole.len() - 3].to_vec(),
                "it is cut short at byte 36",
            ),
            (vec![0, 0], "it is cut short at byte 2"),
            (
                vec![0, 0, 0, 1, 0xff],
                "it is not an .osm.pbf file (byte 0)",
            ),
        ] {
            let result = check_framing(&mut Cursor::new(&bytes));
            assert_eq!(result, Err(reason.to_owned()));
        }
    }

    #[test]
    fn centre_is_the_mean() {
        let corner = |lat, lng| Point { lat, lng };
        let corners = [corner(0, 10), corner(4, 20)];
        assert_eq!(centre(corners.into_iter()), Some(corner(2, 15)));
        assert_eq!(centre(std::iter::empty()), None);
    }
}
