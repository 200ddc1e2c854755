//! Reads a compiled map back, with a decoder that is not ours, and asks the questions the tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use osmpbfreader::{OsmObj, OsmPbfReader};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

/// Latitude, longitude.
pub(crate) type LatLng = (f64, f64);
pub(crate) type Tags = HashMap<String, String>;

pub(crate) struct Way {
    pub(crate) nodes: Vec<i64>,
    pub(crate) tags: Tags,
}

pub(crate) struct Place {
    pub(crate) at: LatLng,
    pub(crate) tags: Tags,
}

pub(crate) struct Map {
    pub(crate) nodes: HashMap<i64, LatLng>,
    pub(crate) places: Vec<Place>,
    pub(crate) ways: Vec<Way>,
    /// (type, id) in the order of the file.
    pub(crate) order: Vec<(u8, i64)>,
}

/// A file beside this crate, in `data/`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

impl Map {
    pub(crate) fn read(path: &Path) -> Map {
        let file =
            std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut map = Map {
            nodes: HashMap::new(),
            places: Vec::new(),
            ways: Vec::new(),
            order: Vec::new(),
        };
        let tags = |tags: &osmpbfreader::Tags| {
            tags.iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect()
        };
        for object in OsmPbfReader::new(file).iter() {
            match object.expect("the file is OSM PBF") {
                OsmObj::Node(node) => {
                    let at = (node.lat(), node.lon());
                    map.order.push((0, node.id.0));
                    map.nodes.insert(node.id.0, at);
                    if !node.tags.is_empty() {
                        map.places.push(Place {
                            at,
                            tags: tags(&node.tags),
                        });
                    }
                }
                OsmObj::Way(way) => {
                    map.order.push((1, way.id.0));
                    map.ways.push(Way {
                        nodes: way.nodes.iter().map(|id| id.0).collect(),
                        tags: tags(&way.tags),
                    });
                }
                OsmObj::Relation(relation) => map.order.push((2, relation.id.0)),
            }
        }
        map
    }

    pub(crate) fn line(&self, way: &Way) -> Vec<LatLng> {
        way.nodes
            .iter()
            .filter_map(|id| self.nodes.get(id).copied())
            .collect()
    }

    pub(crate) fn drivable(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter().filter(|way| way.is_drivable())
    }

    /// The strongly connected parts of the drivable roads, longest first: (metres, node ids).
    pub(crate) fn connected_parts(&self) -> Vec<(f64, Vec<i64>)> {
        let mut graph = DiGraph::<i64, ()>::new();
        let mut indices = HashMap::new();
        for way in self.drivable() {
            for pair in way.nodes.windows(2) {
                let [a, b] = [pair[0], pair[1]]
                    .map(|id| *indices.entry(id).or_insert_with(|| graph.add_node(id)));
                graph.add_edge(a, b, ());
                if !way.is("oneway", "yes") {
                    graph.add_edge(b, a, ());
                }
            }
        }
        let ids = |nodes: Vec<_>| nodes.into_iter().map(|node| graph[node]).collect();
        let mut parts: Vec<(f64, Vec<i64>)> = kosaraju_scc(&graph)
            .into_iter()
            .map(|nodes| (0.0, ids(nodes)))
            .collect();
        let part_of: HashMap<i64, usize> = parts
            .iter()
            .enumerate()
            .flat_map(|(i, (_, nodes))| nodes.iter().map(move |&node| (node, i)))
            .collect();
        for way in self.drivable() {
            for pair in way.nodes.windows(2) {
                if part_of[&pair[0]] == part_of[&pair[1]] {
                    parts[part_of[&pair[0]]].0 +=
                        metres(self.nodes[&pair[0]], self.nodes[&pair[1]]);
                }
            }
        }
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        parts
    }

    /// Metres of drivable roads.
    pub(crate) fn drivable_metres(&self) -> f64 {
        let length = |way| {
            self.line(way)
                .windows(2)
                .map(|pair| metres(pair[0], pair[1]))
                .sum::<f64>()
        };
        self.drivable().map(length).sum()
    }

    /// What is land, told from a point known to be on it.
    pub(crate) fn land(&self, known: LatLng) -> Land {
        let of_kind = |kind| {
            let ways = self.ways.iter().filter(move |way| way.is("natural", kind));
            ways.flat_map(|way| {
                self.line(way)
                    .windows(2)
                    .map(|pair| [pair[0], pair[1]])
                    .collect::<Vec<_>>()
            })
            .collect()
        };
        Land {
            known,
            coast: of_kind("coastline"),
            lakes: of_kind("water"),
        }
    }

    /// Points along the drivable ways that are neither bridge nor tunnel, `step` metres apart, with a name to report.
    pub(crate) fn ground_points(&self, step: f64) -> Vec<(String, LatLng)> {
        let mut points = Vec::new();
        let on_ground = |way: &&Way| !way.is("bridge", "yes") && !way.is("tunnel", "yes");
        for way in self.drivable().filter(on_ground) {
            for pair in self.line(way).windows(2) {
                let steps = (metres(pair[0], pair[1]) / step).ceil().max(1.0) as usize;
                points.extend((0..=steps).map(|i| {
                    let t = i as f64 / steps as f64;
                    let at = (
                        pair[0].0 + (pair[1].0 - pair[0].0) * t,
                        pair[0].1 + (pair[1].1 - pair[0].1) * t,
                    );
                    (way.called(), at)
                }));
            }
        }
        points
    }

    /// Metres from `point` to the nearest of the ways that `which` accepts.
    pub(crate) fn metres_to_way(&self, point: LatLng, which: impl Fn(&Way) -> bool) -> f64 {
        let to_way = |way| {
            self.line(way)
                .windows(2)
                .map(|pair| metres_to_segment(point, pair))
                .fold(f64::MAX, f64::min)
        };
        self.ways
            .iter()
            .filter(|way| which(way))
            .map(to_way)
            .fold(f64::MAX, f64::min)
    }
}

/// Coastlines and the edges of lakes.
pub(crate) struct Land {
    known: LatLng,
    coast: Vec<[LatLng; 2]>,
    lakes: Vec<[LatLng; 2]>,
}

impl Land {
    /// Whether `point` is on land: the way to known land crosses coastlines an even number of times, and the way out of
    /// the map crosses the edges of lakes an even number of times.
    pub(crate) fn contains(&self, point: LatLng) -> bool {
        let crossings = |to: LatLng, edges: &[[LatLng; 2]]| {
            edges
                .iter()
                .filter(|[a, b]| cross(point, to, *a, *b))
                .count()
        };
        let outside = (80.0, point.1 + 0.001);
        crossings(self.known, &self.coast).is_multiple_of(2)
            && crossings(outside, &self.lakes).is_multiple_of(2)
    }
}

impl Way {
    pub(crate) fn is(&self, key: &str, value: &str) -> bool {
        self.tags.get(key).is_some_and(|have| have == value)
    }

    pub(crate) fn is_drivable(&self) -> bool {
        let classes = [
            "motorway",
            "trunk",
            "primary",
            "secondary",
            "tertiary",
            "unclassified",
            "residential",
        ];
        let class = self
            .tags
            .get("highway")
            .map(|class| class.trim_end_matches("_link"));
        class.is_some_and(|class| classes.contains(&class)) && !self.is("access", "no")
    }

    pub(crate) fn called(&self) -> String {
        let keys = ["ref", "name", "destination"];
        keys.iter()
            .filter_map(|key| self.tags.get(*key).cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Metres between two points, on the plane that touches the earth between them.
pub(crate) fn metres(a: LatLng, b: LatLng) -> f64 {
    let scale = ((a.0 + b.0) / 2.0).to_radians().cos();
    ((a.0 - b.0).hypot((a.1 - b.1) * scale)) * 111_195.0
}

/// Degrees clockwise from north, from `a` to `b`.
pub(crate) fn bearing(a: LatLng, b: LatLng) -> f64 {
    let east = (b.1 - a.1) * ((a.0 + b.0) / 2.0).to_radians().cos();
    east.atan2(b.0 - a.0).to_degrees().rem_euclid(360.0)
}

fn metres_to_segment(point: LatLng, pair: &[LatLng]) -> f64 {
    let scale = point.0.to_radians().cos();
    let flat = |p: LatLng| {
        (
            (p.1 - point.1) * scale * 111_195.0,
            (p.0 - point.0) * 111_195.0,
        )
    };
    let ((ax, ay), (bx, by)) = (flat(pair[0]), flat(pair[1]));
    let (dx, dy) = (bx - ax, by - ay);
    let square = dx * dx + dy * dy;
    let t = if square == 0.0 {
        0.0
    } else {
        (-(ax * dx + ay * dy) / square).clamp(0.0, 1.0)
    };
    (ax + t * dx).hypot(ay + t * dy)
}

fn cross(a: LatLng, b: LatLng, c: LatLng, d: LatLng) -> bool {
    let side = |p: LatLng, q: LatLng, r: LatLng| {
        (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0) > 0.0
    };
    side(a, b, c) != side(a, b, d) && side(c, d, a) != side(c, d, b)
}
