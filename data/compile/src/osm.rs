//! The compiled map: OSM nodes and ways, numbered. Every area is one closed way, so there are no relations.

use std::collections::{BTreeMap, HashMap};

use crate::geometry::LatLng;

/// Tags of one element, in order of their keys.
pub type Tags = BTreeMap<String, String>;

/// A position in units of 1e-7 degree, as OSM stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Latitude × 10⁷.
    pub lat: i64,
    /// Longitude × 10⁷.
    pub lng: i64,
}

impl From<LatLng> for Position {
    fn from(at: LatLng) -> Position {
        Position {
            lat: (at.lat * 1e7).round() as i64,
            lng: (at.lng * 1e7).round() as i64,
        }
    }
}

/// A node; its id is its index + 1.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is.
    pub position: Position,
    /// Empty for a bare vertex.
    pub tags: Tags,
}

/// A way; its id is its index + 1.
#[derive(Clone, Debug)]
pub struct Way {
    /// Ids of its nodes.
    pub nodes: Vec<i64>,
    /// Its tags.
    pub tags: Tags,
}

/// Everything in one `.osm.pbf`.
#[derive(Clone, Debug)]
pub struct Map {
    /// South-west and north-east corner.
    pub bounds: [Position; 2],
    /// Nodes by id.
    pub nodes: Vec<Node>,
    /// Ways by id.
    pub ways: Vec<Way>,
    vertices: HashMap<Position, i64>,
}

impl Map {
    /// An empty map of the box from `south_west` to `north_east`.
    pub fn new(south_west: LatLng, north_east: LatLng) -> Map {
        Map {
            bounds: [south_west.into(), north_east.into()],
            nodes: Vec::new(),
            ways: Vec::new(),
            vertices: HashMap::new(),
        }
    }

    /// Adds a way; vertices at the same position are one node. Gives the way's id.
    pub fn add_way(&mut self, points: impl IntoIterator<Item = LatLng>, tags: Tags) -> i64 {
        let mut nodes: Vec<i64> = Vec::new();
        for point in points {
            let position = Position::from(point);
            let id = *self.vertices.entry(position).or_insert_with(|| {
                self.nodes.push(Node {
                    position,
                    tags: Tags::new(),
                });
                self.nodes.len() as i64
            });
            if nodes.last() != Some(&id) {
                nodes.push(id);
            }
        }
        self.ways.push(Way { nodes, tags });
        self.ways.len() as i64
    }

    /// Adds a node that stands for a thing, a place for example.
    pub fn add_place(&mut self, at: LatLng, tags: Tags) {
        self.nodes.push(Node {
            position: at.into(),
            tags,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_share_the_node_where_they_meet() {
        let at = |lat, lng| LatLng { lat, lng };
        let mut map = Map::new(at(0.0, 0.0), at(1.0, 1.0));
        map.add_way([at(0.0, 0.0), at(0.5, 0.5)], Tags::new());
        map.add_way([at(0.5, 0.5), at(0.5, 0.5), at(1.0, 0.5)], Tags::new());
        assert_eq!(map.ways[0].nodes, [1, 2]);
        assert_eq!(map.ways[1].nodes, [2, 3]);
    }
}
