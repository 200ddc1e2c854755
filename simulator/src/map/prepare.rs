//! From ways to the road graph: cut at junctions, keep what is connected, find the trip ends, lay it all out.

use fleet::{Kind, LatLng};

use super::connected::{self, Connected};
use super::pbf::{Extract, Way};
use super::roads::{Component, Prepared, Road, Shape};
use super::{Point, snap};

/// A stretch of a way between two junctions, on its way into the graph.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) way: u32,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) points: Vec<Point>,
    pub(super) length_m: f64,
    /// m/s from `from` to `to`, where one may drive so.
    pub(super) forward_mps: Option<f64>,
    /// m/s from `to` to `from`.
    pub(super) backward_mps: Option<f64>,
    pub(super) can_stop: bool,
    pub(super) component: usize,
}

impl Piece {
    /// The speed along it on an even side, against it on an odd one.
    pub(super) fn speed_mps(&self, side: u32) -> Option<f64> {
        if side.is_multiple_of(2) {
            self.forward_mps
        } else {
            self.backward_mps
        }
    }
}

/// Makes the road graph of an extract; nothing when one can't drive anywhere on it.
pub fn prepare(extract: &Extract, kind: Kind) -> Option<Prepared> {
    let mut pieces = split(extract);
    let connected = connected::keep(&mut pieces, extract.points.len(), &extract.restrictions);
    let parts = connected.lengths_m.len();
    let ends = snap::trip_ends(&pieces, &extract.places, parts, kind);
    let components: Vec<Component> = ends
        .into_iter()
        .zip(&connected.lengths_m)
        .map(|(ends, length_m)| Component {
            length_m: *length_m,
            places: ends.places,
            named: ends.named,
        })
        .collect();
    (!components.is_empty()).then(|| assemble(&pieces, components, &connected))
}

/// Cuts the ways at junctions, and where the extract lacks a node.
fn split(extract: &Extract) -> Vec<Piece> {
    let mut uses = vec![0_u8; extract.points.len()];
    for node in extract.ways.iter().flat_map(|way| &way.nodes).flatten() {
        let count = &mut uses[*node as usize];
        *count = count.saturating_add(1);
    }
    let mut pieces = Vec::new();
    for (Way { nodes, rules }, way) in extract.ways.iter().zip(0..) {
        let first = pieces.len();
        for run in nodes.split(Option::is_none) {
            let mut run: Vec<u32> = run.iter().flatten().copied().collect();
            run.dedup();
            let mut start = 0;
            for end in 1..run.len() {
                let is_junction = uses[run[end] as usize] > 1 || end == run.len() - 1;
                if !is_junction {
                    continue;
                }
                let stretch = &run[start..=end];
                let points: Vec<Point> = stretch
                    .iter()
                    .map(|node| extract.points[*node as usize])
                    .collect();
                pieces.push(Piece {
                    way,
                    from: run[start],
                    to: run[end],
                    // Two nodes at one position still join two roads; no length would make a speed of it infinite.
                    length_m: length_m(&points).max(0.01),
                    points,
                    forward_mps: rules.forward_mps,
                    backward_mps: rules.backward_mps,
                    can_stop: rules.can_stop,
                    component: 0,
                });
                start = end;
            }
        }
        if let Some(duration_s) = rules.duration_s {
            take_time(&mut pieces[first..], duration_s);
        }
    }
    pieces
}

/// Makes a way of which the map says how long it takes take so long.
fn take_time(way: &mut [Piece], duration_s: f64) {
    /// No ferry is faster and none slower, whatever a typing error says. A guess, in m/s.
    const FERRY_MPS: std::ops::RangeInclusive<f64> = 0.3..=20.0;
    let all_m: f64 = way.iter().map(|piece| piece.length_m).sum();
    let mps = (all_m / duration_s).clamp(*FERRY_MPS.start(), *FERRY_MPS.end());
    for piece in way {
        piece.forward_mps = piece.forward_mps.map(|_| mps);
        piece.backward_mps = piece.backward_mps.map(|_| mps);
    }
}

/// Lays the pieces into plain arrays; the shape of a piece has the piece's index.
fn assemble(pieces: &[Piece], components: Vec<Component>, connected: &Connected) -> Prepared {
    let nodes = pieces.iter().map(|p| p.from.max(p.to) as usize + 1).max();
    let mut junction_of: Vec<Option<u32>> = vec![None; nodes.unwrap_or_default()];
    let mut prepared = Prepared {
        points: Vec::new(),
        shapes: Vec::new(),
        junctions: Vec::new(),
        roads: Vec::new(),
        state_roads: connected.road_of.clone(),
        turn_counts: connected.turns.iter().map(|turns| len(turns)).collect(),
        turns: connected.turns.concat(),
        components,
    };
    for piece in pieces {
        let (first, last) = (piece.points[0], piece.points[piece.points.len() - 1]);
        let mut junction = |node: u32, point: Point| {
            *junction_of[node as usize].get_or_insert_with(|| {
                prepared.junctions.push(point);
                len(&prepared.junctions) - 1
            })
        };
        let (from, to) = (junction(piece.from, first), junction(piece.to, last));
        let shape = len(&prepared.shapes);
        let road = |from, to, reversed, speed_mps| Road {
            from,
            to,
            shape,
            reversed,
            speed_mps,
        };
        let forward = piece.forward_mps.map(|v| road(from, to, false, v));
        let backward = piece.backward_mps.map(|v| road(to, from, true, v));
        prepared.roads.extend(forward.into_iter().chain(backward));
        prepared.shapes.push(Shape {
            first: len(&prepared.points),
            count: len(&piece.points),
            length_m: piece.length_m,
        });
        prepared.points.extend(&piece.points);
    }
    prepared
}

/// Node ids of the whole planet do not fit a u32, but the drivable junctions of any file that fits into memory do.
fn len<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("fewer than 2^32 junctions, roads and vertices")
}

/// Metres along these vertices.
pub(super) fn length_m(points: &[Point]) -> f64 {
    points
        .windows(2)
        .map(|pair| LatLng::from(pair[0]).distance_m(pair[1].into()))
        .sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::map::profile::Rules;
    use crate::map::{Location, RoadMap};

    const TWO_WAY: Rules = Rules {
        forward_mps: Some(10.0),
        backward_mps: Some(10.0),
        duration_s: None,
        can_stop: true,
    };
    const ONE_WAY: Rules = Rules {
        forward_mps: Some(10.0),
        backward_mps: None,
        duration_s: None,
        can_stop: true,
    };

    /// A point so many metres north and east of a corner in Manhattan.
    pub(crate) fn at(north_m: f64, east_m: f64) -> Point {
        let p = LatLng::new(40.75, -73.98)
            .offset(0.0, north_m)
            .offset(90.0, east_m);
        Point {
            lat: (p.lat * 1e7).round() as i32,
            lng: (p.lng * 1e7).round() as i32,
        }
    }

    fn way(nodes: impl IntoIterator<Item = u32>, rules: Rules) -> Way {
        Way {
            nodes: nodes.into_iter().map(Some).collect(),
            rules,
        }
    }

    /// `n` by `n` junctions in a grid of two-way streets, with a place beside each of them.
    pub(crate) fn grid(n: u32, spacing_m: f64) -> Prepared {
        prepare(&grid_extract(n, spacing_m), Kind::Taxi).unwrap()
    }

    /// The map of a real extract, or nothing, with a line that says so, where that is not there.
    pub(crate) fn real(file: &str, kind: Kind) -> Option<RoadMap> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/osm/");
        let path = std::path::PathBuf::from(format!("{path}{file}"));
        if !path.exists() {
            eprintln!("skipped: {} is missing", path.display());
            return None;
        }
        let extract = crate::map::pbf::read(&path, kind).unwrap();
        Some(RoadMap::new(prepare(&extract, kind).unwrap()))
    }

    fn grid_extract(n: u32, spacing_m: f64) -> Extract {
        let points = (0..n * n)
            .map(|i| at(f64::from(i / n) * spacing_m, f64::from(i % n) * spacing_m))
            .collect();
        let rows = (0..n).map(|row| way((0..n).map(move |column| row * n + column), TWO_WAY));
        let columns = (0..n).map(|column| way((0..n).map(move |row| row * n + column), TWO_WAY));
        let places = (0..n * n)
            .map(|i| {
                at(
                    f64::from(i / n) * spacing_m + 5.0,
                    f64::from(i % n) * spacing_m + 30.0,
                )
            })
            .collect();
        Extract {
            points,
            ways: rows.chain(columns).collect(),
            places,
            restrictions: vec![],
        }
    }

    #[test]
    fn ways_are_cut_at_junctions() {
        let prepared = grid(3, 100.0);
        assert_eq!(prepared.junctions.len(), 9);
        assert_eq!(prepared.shapes.len(), 12);
        assert_eq!(prepared.roads.len(), 24);
        assert!(
            prepared
                .shapes
                .iter()
                .all(|s| (s.length_m - 100.0).abs() < 0.1)
        );
        assert_eq!(prepared.components.len(), 1);
        assert!((prepared.components[0].length_m - 1_200.0).abs() < 1.0);
        assert!(prepared.is_consistent());
    }

    #[test]
    fn a_missing_node_cuts_a_way_and_crashes_nothing() {
        let mut extract = grid_extract(3, 100.0);
        extract.ways[0].nodes[1] = None;
        extract.ways[1].nodes = vec![None, None];
        extract.ways[2].nodes.clear();
        let prepared = prepare(&extract, Kind::Taxi);
        // Three columns that nothing joins: no part is strongly connected but each street with itself.
        assert_eq!(prepared.unwrap().components.len(), 3);
    }

    #[test]
    fn a_dead_end_one_way_street_is_not_driven() {
        let mut extract = grid_extract(3, 100.0);
        extract.points.push(at(-100.0, 0.0));
        extract.ways.push(way([0, 9], ONE_WAY));
        let prepared = prepare(&extract, Kind::Taxi).unwrap();
        assert_eq!(prepared.junctions.len(), 9);
        assert!(prepared.is_consistent());
    }

    #[test]
    fn an_island_is_a_component_and_a_speck_is_not() {
        let mut extract = grid_extract(5, 100.0);
        let mut add = |east_m: f64, length_m: f64| {
            let first = u32::try_from(extract.points.len()).unwrap();
            extract.points.push(at(0.0, east_m));
            extract.points.push(at(length_m, east_m));
            extract.ways.push(way([first, first + 1], TWO_WAY));
            for along in [0.2, 0.8] {
                extract.places.push(at(length_m * along, east_m + 10.0));
            }
        };
        add(5_000.0, 300.0);
        add(9_000.0, 30.0);
        let prepared = prepare(&extract, Kind::Taxi).unwrap();
        let lengths: Vec<f64> = prepared
            .components
            .iter()
            .map(|c| c.length_m.round())
            .collect();
        assert_eq!(lengths, [4_000.0, 300.0]);
    }

    #[test]
    fn nothing_to_drive_on_is_no_map() {
        assert!(prepare(&Extract::default(), Kind::Taxi).is_none());
        let one_way = Extract {
            points: vec![at(0.0, 0.0), at(100.0, 0.0)],
            ways: vec![way([0, 1], ONE_WAY)],
            places: vec![],
            restrictions: vec![],
        };
        assert!(prepare(&one_way, Kind::Taxi).is_none());
    }

    #[test]
    fn a_place_is_seen_from_both_directions() {
        let map = RoadMap::new(grid(3, 100.0));
        let place = map.components[0].places[0];
        let seen: Vec<Location> = map.locations(place).collect();
        assert_eq!(seen.len(), 2);
        assert!((seen[0].at_m + seen[1].at_m - 100.0).abs() < 0.1);
        for location in seen {
            let vertices: Vec<LatLng> = map.vertices(location.road).collect();
            let there = vertices[0].lerp(vertices[1], location.at_m / 100.0);
            assert!(there.distance_m(map.position(place)) < 0.2);
        }
    }
}
