//! Vehicles stay on roads that allow what they do: every position lies within 15 m of a way that may be driven in its
//! direction. Read straight from the map file, by rules written a second time here, so that a mistake in the road graph
//! can't hide.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet::{Kind, LatLng, Position};
use osmpbfreader::{NodeId, OsmPbfReader, Tags};
use simulator::map;
use simulator::vehicle::{Vehicle, World};

const OFF_ROAD_MAX_M: f64 = 15.0;
/// A bend within 15 m may differ this much from the segment it belongs to.
const OFF_COURSE_MAX_DEG: f64 = 30.0;

/// Every stretch of road that may be driven, in the direction it may be driven, by cells of 0.002 degrees.
struct Streets(BTreeMap<(i32, i32), Vec<[LatLng; 2]>>);

impl Streets {
    fn read(path: &Path, kind: Kind) -> Self {
        let mut file = OsmPbfReader::new(std::fs::File::open(path).unwrap());
        let mut nodes: BTreeMap<NodeId, LatLng> = BTreeMap::new();
        for node in file.iter_nodes() {
            let node = node.unwrap();
            nodes.insert(node.id, LatLng::new(node.lat(), node.lon()));
        }
        file.rewind().unwrap();
        let mut streets = Self(BTreeMap::new());
        for way in file.iter_ways() {
            let way = way.unwrap();
            let (along, against) = open(&way.tags, kind);
            for pair in way.nodes.windows(2) {
                let (Some(a), Some(b)) = (nodes.get(&pair[0]), nodes.get(&pair[1])) else {
                    continue;
                };
                if along {
                    streets.add([*a, *b]);
                }
                if against {
                    streets.add([*b, *a]);
                }
            }
        }
        streets
    }

    fn add(&mut self, segment: [LatLng; 2]) {
        let cells = segment.map(cell);
        for lat in range(cells[0].0, cells[1].0) {
            for lng in range(cells[0].1, cells[1].1) {
                self.0.entry((lat, lng)).or_default().push(segment);
            }
        }
    }

    /// Whether one may drive here in this direction.
    fn allow(&self, p: LatLng, bearing_deg: f64) -> bool {
        let (lat, lng) = cell(p);
        let near = (-1..=1)
            .flat_map(|dlat| (-1..=1).map(move |dlng| (lat + dlat, lng + dlng)))
            .filter_map(|cell| self.0.get(&cell))
            .flatten();
        near.into_iter().any(|[a, b]| {
            let off = (a.bearing_deg(*b) - bearing_deg + 540.0).rem_euclid(360.0) - 180.0;
            off.abs() <= OFF_COURSE_MAX_DEG && off_m(p, *a, *b) <= OFF_ROAD_MAX_M
        })
    }
}

fn cell(p: LatLng) -> (i32, i32) {
    (
        (p.lat * 500.0).floor() as i32,
        (p.lng * 500.0).floor() as i32,
    )
}

fn range(a: i32, b: i32) -> std::ops::RangeInclusive<i32> {
    a.min(b)..=a.max(b)
}

fn off_m(p: LatLng, a: LatLng, b: LatLng) -> f64 {
    let east_m = 111_195.0 * p.lat.to_radians().cos();
    let [a, b] = [a, b].map(|q| ((q.lng - p.lng) * east_m, (q.lat - p.lat) * 111_195.0));
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = (-(a.0 * dx + a.1 * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    (a.0 + along * dx).hypot(a.1 + along * dy)
}

/// Whether a way may be driven along its nodes, and against them.
fn open(tags: &Tags, kind: Kind) -> (bool, bool) {
    let is =
        |key: &str, values: &[&str]| tags.get(key).is_some_and(|v| values.contains(&v.as_str()));
    let drivable = is(
        "highway",
        &[
            "motorway",
            "motorway_link",
            "trunk",
            "trunk_link",
            "primary",
            "primary_link",
            "secondary",
            "secondary_link",
            "tertiary",
            "tertiary_link",
            "unclassified",
            "residential",
            "living_street",
            "road",
        ],
    );
    let keys: &[&str] = match kind {
        Kind::Taxi => &[
            "taxi",
            "psv",
            "motorcar",
            "motor_vehicle",
            "vehicle",
            "access",
        ],
        Kind::Truck => &["hgv", "motor_vehicle", "vehicle", "access"],
    };
    // `taxi:forward=yes` opens a private street to taxis in one direction.
    let closed = |direction: &str| {
        keys.iter()
            .flat_map(|key| [format!("{key}:{direction}"), (*key).to_owned()])
            .find(|key| tags.contains_key(key.as_str()))
            .is_some_and(|key| is(&key, &["no", "private"]))
    };
    if !drivable {
        return (false, false);
    }
    let (along, against) = (!closed("forward"), !closed("backward"));
    // A one-way street may be open against its direction to taxis, as contraflow bus lanes are.
    let ours = keys.iter().map(|key| format!("oneway:{key}"));
    let oneway = ours
        .chain(["oneway".to_owned()])
        .find(|key| tags.contains_key(key.as_str()))
        .unwrap_or_default();
    if is(&oneway, &["-1", "reverse"]) {
        return (false, against);
    }
    let implied = is("highway", &["motorway"]) || is("junction", &["roundabout", "circular"]);
    let both = !is(&oneway, &["yes", "true", "1"]) && (!implied || is(&oneway, &["no"]));
    (along, both && against)
}

/// Where some vehicles are over some time.
fn positions(world: &Arc<World>, vehicles: u32, steps: u32, step_s: f64) -> Vec<Position> {
    let mut positions = Vec::new();
    for index in 0..vehicles {
        let mut vehicle = Vehicle::new(Arc::clone(world), index, 0).unwrap();
        for _ in 0..steps {
            vehicle.advance(step_s, |wanted, map| wanted.plan(map));
            positions.push(vehicle.next_position(0));
        }
    }
    positions
}

fn check(path: &Path, kind: Kind, steps: u32, step_s: f64) {
    let cache = tempfile::tempdir().unwrap();
    let loaded = map::load(path, Some(cache.path().to_owned()), kind).unwrap();
    let world = Arc::new(World {
        seed: 2,
        rest_max_s: 20.0,
        ..World::new(loaded.map, kind)
    });
    let streets = Streets::read(path, kind);
    let positions = positions(&world, 30, steps, step_s);
    for position in &positions {
        assert!(
            streets.allow(position.current, position.bearing),
            "{} drives where it may not: {position:?}",
            path.display()
        );
    }
    let trips: BTreeSet<&str> = positions.iter().map(|p| p.trip_id.as_str()).collect();
    let moving = positions.iter().filter(|p| p.speed > 0.0).count();
    assert!(trips.len() >= 60, "{} trips", trips.len());
    assert!(moving * 2 > positions.len(), "most of the time they drive");
}

fn shipped(file: &str) -> PathBuf {
    PathBuf::from(format!("{}/../data/{file}", env!("CARGO_MANIFEST_DIR")))
}

/// A real extract, where there is one.
fn real(file: &str) -> Option<PathBuf> {
    let path = PathBuf::from(format!(
        "{}/../../shared/osm/{file}",
        env!("CARGO_MANIFEST_DIR")
    ));
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing", path.display());
    None
}

#[test]
fn taxis_drive_legally_in_the_shipped_manhattan() {
    check(&shipped("manhattan.osm.pbf"), Kind::Taxi, 4_000, 0.5);
}

#[test]
fn trucks_drive_legally_in_the_shipped_italy() {
    check(&shipped("italy.osm.pbf"), Kind::Truck, 4_000, 10.0);
}

#[test]
fn the_islands_of_italy_have_their_own_trucks() {
    let cache = tempfile::tempdir().unwrap();
    let path = shipped("italy.osm.pbf");
    let loaded = map::load(&path, Some(cache.path().to_owned()), Kind::Truck).unwrap();
    let world = Arc::new(World {
        rest_max_s: 20.0,
        ..World::new(loaded.map, Kind::Truck)
    });
    let positions = positions(&world, 200, 1, 1.0);
    let within = |south: f64, west: f64, north: f64, east: f64| {
        positions
            .iter()
            .map(|p| p.current)
            .filter(|p| (south..north).contains(&p.lat) && (west..east).contains(&p.lng))
            .count()
    };
    let (sicily, sardinia) = (within(36.6, 12.3, 38.2, 15.5), within(38.8, 8.0, 41.3, 9.9));
    assert!(sicily >= 5, "{sicily} trucks in Sicily");
    assert!(sardinia >= 2, "{sardinia} trucks in Sardinia");
}

#[test]
fn taxis_drive_legally_in_real_cities() {
    for file in ["manhattan.osm.pbf", "milan.osm.pbf"] {
        if let Some(path) = real(file) {
            check(&path, Kind::Taxi, 4_000, 0.5);
        }
    }
}

#[test]
fn trucks_drive_legally_in_a_real_region() {
    if let Some(path) = real("rhein-neckar.osm.pbf") {
        check(&path, Kind::Truck, 4_000, 2.0);
    }
}
