//! The road graph: junctions are its nodes, the directed roads between them its edges.
//!
//! The geometry between two junctions is a [`Shape`], shared by the two directions of a road, so a route is searched on
//! junctions alone.

use fleet::LatLng;
use petgraph::Directed;
use petgraph::graph::{EdgeIndex, Graph, NodeIndex};
use serde::{Deserialize, Serialize};

use super::Point;

/// A directed road, by its index in the graph.
pub type RoadId = EdgeIndex<u32>;

/// A prepared map as plain arrays: what the cache keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Vertices of all shapes, one after another.
    pub points: Vec<Point>,
    /// Geometry between two junctions.
    pub shapes: Vec<Shape>,
    /// Where roads meet.
    pub junctions: Vec<Point>,
    /// The directed roads.
    pub roads: Vec<Road>,
    /// The strongly connected parts, longest first: from everywhere in one a vehicle gets everywhere else in it.
    pub components: Vec<Component>,
}

/// The geometry between two junctions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Its first vertex in `points`.
    pub first: u32,
    /// How many vertices, at least 2.
    pub count: u32,
    /// Metres.
    pub length_m: f64,
}

/// One direction of a road between two junctions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Road {
    /// The junction where it starts.
    pub from: u32,
    /// The junction where it ends.
    pub to: u32,
    /// Its geometry.
    pub shape: u32,
    /// Whether it runs against the order of the shape's vertices.
    pub reversed: bool,
    /// The speed one drives at, m/s.
    pub speed_mps: f64,
}

/// A strongly connected part of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Metres of road, each counted once.
    pub length_m: f64,
    /// Trip ends, at least 2: first the named ones, then those that fill the gaps between them.
    pub places: Vec<Place>,
    /// How many of them are named places of the map.
    pub named: u32,
}

/// A point on a road, to be reached from either end where both directions are open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The road's geometry.
    pub shape: u32,
    /// Metres from the shape's first vertex.
    pub along_m: f64,
}

/// Where a vehicle is, and which way it heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The directed road it is on.
    pub road: RoadId,
    /// Metres from where that road starts.
    pub at_m: f64,
}

/// The map, ready to drive on.
#[derive(Debug)]
pub struct RoadMap {
    /// Junctions and directed roads.
    pub graph: Graph<LatLng, Road, Directed, u32>,
    /// The parts of it, longest first.
    pub components: Vec<Component>,
    /// The highest speed of any road, m/s: what A* may hope for.
    pub speed_max_mps: f64,
    shapes: Vec<Shape>,
    points: Vec<Point>,
    /// By shape: the road along it, and the road against it.
    roads_of_shape: Vec<[Option<RoadId>; 2]>,
}

impl RoadMap {
    /// Builds the graph.
    pub fn new(prepared: Prepared) -> Self {
        let mut graph = Graph::with_capacity(prepared.junctions.len(), prepared.roads.len());
        for junction in &prepared.junctions {
            graph.add_node(LatLng::from(*junction));
        }
        let mut roads_of_shape = vec![[None; 2]; prepared.shapes.len()];
        let mut speed_max_mps = 0.0_f64;
        for road in prepared.roads {
            speed_max_mps = speed_max_mps.max(road.speed_mps);
            let (shape, side) = (road.shape as usize, usize::from(road.reversed));
            let id = graph.add_edge(
                NodeIndex::new(road.from as usize),
                NodeIndex::new(road.to as usize),
                road,
            );
            roads_of_shape[shape][side] = Some(id);
        }
        Self {
            graph,
            components: prepared.components,
            speed_max_mps,
            shapes: prepared.shapes,
            points: prepared.points,
            roads_of_shape,
        }
    }

    /// Metres from one end of a road to the other.
    pub fn length_m(&self, road: RoadId) -> f64 {
        self.shapes[self.graph[road].shape as usize].length_m
    }

    /// The vertices of a road in the direction of travel.
    pub fn vertices(&self, road: RoadId) -> impl Iterator<Item = LatLng> + '_ {
        let Road {
            shape, reversed, ..
        } = self.graph[road];
        let points = self.shapes[shape as usize].points(&self.points);
        let last = points.len() - 1;
        (0..points.len()).map(move |i| LatLng::from(points[if reversed { last - i } else { i }]))
    }

    /// A place as seen from each direction in which one may pass it: one or two.
    pub fn locations(&self, place: Place) -> impl Iterator<Item = Location> + '_ {
        let shape = place.shape as usize;
        let length_m = self.shapes[shape].length_m;
        let [along, against] = self.roads_of_shape[shape];
        let at = |road: Option<RoadId>, at_m| road.map(|road| Location { road, at_m });
        [
            at(along, place.along_m),
            at(against, length_m - place.along_m),
        ]
        .into_iter()
        .flatten()
    }

    /// Where a place is.
    pub fn position(&self, place: Place) -> LatLng {
        let points = self.shapes[place.shape as usize].points(&self.points);
        point_along(points, place.along_m)
    }

    /// Kilometres of road, each counted once.
    pub fn length_km(&self) -> f64 {
        self.components.iter().map(|c| c.length_m).sum::<f64>() / 1_000.0
    }
}

impl Shape {
    fn points<'a>(&self, points: &'a [Point]) -> &'a [Point] {
        &points[self.first as usize..(self.first + self.count) as usize]
    }
}

/// The point `along_m` metres from the first vertex.
fn point_along(points: &[Point], along_m: f64) -> LatLng {
    let mut left_m = along_m;
    for pair in points.windows(2) {
        let (a, b) = (LatLng::from(pair[0]), LatLng::from(pair[1]));
        let length_m = a.distance_m(b);
        if left_m <= length_m && length_m > 0.0 {
            return a.lerp(b, left_m / length_m);
        }
        left_m -= length_m;
    }
    points[points.len() - 1].into()
}

impl Prepared {
    /// Whether every index points to something and every number is one that the rest of the program can work with.
    pub fn is_consistent(&self) -> bool {
        let (points, shapes) = (self.points.len(), self.shapes.len());
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let in_world = |p: &Point| Point::from_decimicro(p.lat, p.lng).is_some();
        let mut open = vec![false; shapes];
        let roads_fit = self.roads.iter().all(|road| {
            let fits = (road.shape as usize) < shapes
                && (road.from as usize) < self.junctions.len()
                && (road.to as usize) < self.junctions.len()
                && positive(road.speed_mps);
            if fits {
                open[road.shape as usize] = true;
            }
            fits
        });
        let shapes_fit = self.shapes.iter().all(|shape| {
            let end = u64::from(shape.first) + u64::from(shape.count);
            shape.count >= 2 && end <= points as u64 && positive(shape.length_m)
        });
        let place_fits = |place: &Place| {
            let shape = place.shape as usize;
            shape < shapes
                && open[shape]
                && (0.0..=self.shapes[shape].length_m).contains(&place.along_m)
        };
        roads_fit
            && shapes_fit
            && self.points.iter().chain(&self.junctions).all(in_world)
            && !self.components.is_empty()
            && self.components.iter().all(|component| {
                component.places.len() >= 2
                    && component.named as usize <= component.places.len()
                    && positive(component.length_m)
                    && component.places.iter().all(place_fits)
            })
    }
}
