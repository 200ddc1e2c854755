//! The road graph: junctions are its nodes, the directed roads between them its edges.
//!
//! The geometry between two junctions is a [`Shape`], shared by the two directions of a road. A route is searched on a
//! second graph, of states and turns: see [`Prepared::state_roads`].

use std::collections::BTreeMap;

use fleet::LatLng;
use petgraph::Directed;
use petgraph::csr::Csr;
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
    /// By state: the road it is on. State `i` is to have set off on road `i`; those beyond are to be on a road and to have
    /// come by others that a turn restriction names.
    pub state_roads: Vec<u32>,
    /// By state: how many turns lead out of it.
    pub turn_counts: Vec<u32>,
    /// The states that these turns lead to, one state's after another's.
    pub turns: Vec<u32>,
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
    /// States and turns: which road may be driven after which.
    pub turns: Csr<(), (), Directed, u32>,
    /// The parts of it, longest first.
    pub components: Vec<Component>,
    /// The highest speed of any road, m/s: what A* may hope for.
    pub speed_max_mps: f64,
    shapes: Vec<Shape>,
    points: Vec<Point>,
    state_roads: Vec<u32>,
    /// By road: its states beyond the one of setting off.
    states_beyond: BTreeMap<u32, Vec<u32>>,
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
        let mut states_beyond: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (state, road) in (0..).zip(&prepared.state_roads).skip(graph.edge_count()) {
            states_beyond.entry(*road).or_default().push(state);
        }
        Self {
            turns: turns(&prepared.turn_counts, &prepared.turns),
            graph,
            state_roads: prepared.state_roads,
            states_beyond,
            components: prepared.components,
            speed_max_mps,
            shapes: prepared.shapes,
            points: prepared.points,
            roads_of_shape,
        }
    }

    /// The road of a state.
    pub fn road(&self, state: u32) -> RoadId {
        RoadId::new(self.state_roads[state as usize] as usize)
    }

    /// All states of a road; the first is that of who sets off there.
    pub fn states(&self, road: RoadId) -> impl Iterator<Item = u32> + '_ {
        let index = road.index() as u32;
        let beyond = self.states_beyond.get(&index).into_iter().flatten();
        std::iter::once(index).chain(beyond.copied())
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

fn turns(counts: &[u32], to: &[u32]) -> Csr<(), (), Directed, u32> {
    let from = (0..)
        .zip(counts)
        .flat_map(|(from, count)| std::iter::repeat_n(from, *count as usize));
    let mut turns: Vec<(u32, u32)> = from.zip(to.iter().copied()).collect();
    turns.sort_unstable();
    turns.dedup();
    Csr::from_sorted_edges(&turns).expect("they are sorted, each is there once")
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
        let mut to = self.turns.iter();
        let turn_fits = |state: u32, next: u32| {
            let road = |state: u32| {
                let road = *self.state_roads.get(state as usize)?;
                self.roads.get(road as usize)
            };
            let (road, next) = (road(state), road(next));
            road.is_some_and(|road| next.is_some_and(|next| road.to == next.from))
        };
        let turns_fit = self.state_roads.len() >= self.roads.len()
            && self.state_roads.len() == self.turn_counts.len()
            && (0..)
                .zip(&self.state_roads[..self.roads.len()])
                .all(|(state, road): (u32, _)| state == *road)
            && (0..).zip(&self.turn_counts).all(|(state, count)| {
                let mut next = to.by_ref().take(*count as usize);
                *count > 0
                    && next.len() == *count as usize
                    && next.all(|next| turn_fits(state, *next))
            })
            && to.next().is_none();
        let place_fits = |place: &Place| {
            let shape = place.shape as usize;
            shape < shapes
                && open[shape]
                && (0.0..=self.shapes[shape].length_m).contains(&place.along_m)
        };
        roads_fit
            && turns_fit
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
