//! From ways to the road graph: cut at junctions, keep what is connected, find the trip ends, lay it all out.

use std::cmp::Reverse;

use fleet::{Kind, LatLng};
use petgraph::Directed;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{Graph, NodeIndex};

use super::pbf::{Extract, Way};
use super::profile::Rules;
use super::roads::{Component, Prepared, Road, Shape};
use super::{Point, snap};

/// A part of the network counts when it has this share of the longest part's length. Smaller ones are specks (a car
/// park, a road cut off at the edge of an extract) in which a vehicle would only go round in circles. A guess: of Italy
/// it leaves the mainland, Sicily and Sardinia.
const COMPONENT_SHARE_MIN: f64 = 0.01;

/// A stretch of a way between two junctions, on its way into the graph.
#[derive(Debug)]
pub(super) struct Piece {
    from: u32,
    to: u32,
    pub(super) points: Vec<Point>,
    pub(super) length_m: f64,
    pub(super) rules: Rules,
    pub(super) component: usize,
}

/// Makes the road graph of an extract; nothing when one can't drive anywhere on it.
pub fn prepare(extract: &Extract, kind: Kind) -> Option<Prepared> {
    let mut pieces = split(extract);
    let lengths_m = keep_connected(&mut pieces, extract.points.len());
    let ends = snap::trip_ends(&pieces, &extract.places, lengths_m.len(), kind);
    let components: Vec<Component> = ends
        .into_iter()
        .zip(lengths_m)
        .map(|(ends, length_m)| Component {
            length_m,
            places: ends.places,
            named: ends.named,
        })
        .collect();
    (!components.is_empty()).then(|| assemble(&pieces, components))
}

/// Cuts the ways at junctions, and where the extract lacks a node.
fn split(extract: &Extract) -> Vec<Piece> {
    let mut uses = vec![0_u8; extract.points.len()];
    for node in extract.ways.iter().flat_map(|way| &way.nodes).flatten() {
        let count = &mut uses[*node as usize];
        *count = count.saturating_add(1);
    }
    let mut pieces = Vec::new();
    for Way { nodes, rules } in &extract.ways {
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
                    from: run[start],
                    to: run[end],
                    // Two nodes at one position still join two roads; no length would make a speed of it infinite.
                    length_m: length_m(&points).max(0.01),
                    points,
                    rules: *rules,
                    component: 0,
                });
                start = end;
            }
        }
    }
    pieces
}

/// Keeps the pieces that lie in a strongly connected part of some size, and numbers the parts by length, longest first.
/// Returns their lengths.
fn keep_connected(pieces: &mut Vec<Piece>, nodes: usize) -> Vec<f64> {
    let mut graph: Graph<(), (), Directed, u32> = Graph::with_capacity(nodes, pieces.len() * 2);
    for _ in 0..nodes {
        graph.add_node(());
    }
    for piece in &*pieces {
        let (from, to) = (
            NodeIndex::new(piece.from as usize),
            NodeIndex::new(piece.to as usize),
        );
        if piece.rules.forward_mps.is_some() {
            graph.add_edge(from, to, ());
        }
        if piece.rules.backward_mps.is_some() {
            graph.add_edge(to, from, ());
        }
    }
    let mut part_of = vec![0_usize; nodes];
    let parts = kosaraju_scc(&graph);
    for (part, members) in parts.iter().enumerate() {
        for node in members {
            part_of[node.index()] = part;
        }
    }
    let mut lengths_m = vec![0.0; parts.len()];
    pieces.retain(|piece| part_of[piece.from as usize] == part_of[piece.to as usize]);
    for piece in &*pieces {
        lengths_m[part_of[piece.from as usize]] += piece.length_m;
    }
    let longest_m = lengths_m.iter().copied().fold(0.0, f64::max);
    let mut kept: Vec<usize> = (0..parts.len())
        .filter(|part| lengths_m[*part] > 0.0)
        .filter(|part| lengths_m[*part] >= longest_m * COMPONENT_SHARE_MIN)
        .collect();
    // Millimetres, so that the order is total.
    kept.sort_by_key(|part| (Reverse((lengths_m[*part] * 1_000.0) as u64), *part));
    let mut rank = vec![None; parts.len()];
    for (order, part) in kept.iter().enumerate() {
        rank[*part] = Some(order);
    }
    pieces.retain_mut(|piece| {
        let rank = rank[part_of[piece.from as usize]];
        piece.component = rank.unwrap_or_default();
        rank.is_some()
    });
    kept.iter().map(|part| lengths_m[*part]).collect()
}

/// Lays the pieces into plain arrays; the shape of a piece has the piece's index.
fn assemble(pieces: &[Piece], components: Vec<Component>) -> Prepared {
    let nodes = pieces.iter().map(|p| p.from.max(p.to) as usize + 1).max();
    let mut junction_of: Vec<Option<u32>> = vec![None; nodes.unwrap_or_default()];
    let mut prepared = Prepared {
        points: Vec::new(),
        shapes: Vec::new(),
        junctions: Vec::new(),
        roads: Vec::new(),
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
        let forward = piece.rules.forward_mps.map(|v| road(from, to, false, v));
        let backward = piece.rules.backward_mps.map(|v| road(to, from, true, v));
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
    use crate::map::{Location, RoadMap};

    const TWO_WAY: Rules = Rules {
        forward_mps: Some(10.0),
        backward_mps: Some(10.0),
        can_stop: true,
    };
    const ONE_WAY: Rules = Rules {
        forward_mps: Some(10.0),
        backward_mps: None,
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
        };
        assert!(prepare(&one_way, Kind::Taxi).is_none());
    }

    #[test]
    fn a_place_is_seen_from_both_directions() {
        let map = RoadMap::new(grid(2, 100.0));
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
