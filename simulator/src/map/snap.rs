//! Trip ends: places of the map, each moved to the nearest road.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Kind, LatLng};
use rstar::primitives::{GeomWithData, Line};
use rstar::{AABB, RTree};

use super::Point;
use super::prepare::{Piece, length_m};
use super::roads::Place;

/// How far a place may be from its road. A guess: across a large forecourt, not across a park.
const SNAP_MAX_M: f64 = 200.0;

/// A road is cut into stretches of this length; the places of one stretch are one trip end.
const MERGE_M: f64 = 20.0;

/// A part of the map with fewer named places than this gets trip ends in between. A guess.
const NAMED_ENOUGH: usize = 20;

/// Cells of about a kilometre (in 1e-7 degrees, at the latitudes of New York and Italy); in each, one road serves as
/// a trip end where the map names no place.
const CELL: Point = Point {
    lat: 90_000,
    lng: 120_000,
};

/// Metres per degree of latitude: a quarter of the meridian over 90.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// The trip ends of one component. `shape` of a place is the index of its piece.
#[derive(Clone, Debug, Default)]
pub(super) struct TripEnds {
    pub(super) places: Vec<Place>,
    pub(super) named: u32,
}

/// The trip ends of each component.
pub(super) fn trip_ends(
    pieces: &[Piece],
    places: &[Point],
    components: usize,
    kind: Kind,
) -> Vec<TripEnds> {
    let mut ends = vec![TripEnds::default(); components];
    let roads = Roads::new(pieces);
    let mut taken = BTreeSet::new();
    for place in places {
        let Some(place) = roads.nearest(*place) else {
            continue;
        };
        if taken.insert((place.shape, (place.along_m / MERGE_M) as u32)) {
            let ends = &mut ends[pieces[place.shape as usize].component];
            ends.places.push(place);
            ends.named += 1;
        }
    }
    for (component, ends) in ends.iter_mut().enumerate() {
        // People want to go everywhere; goods go where the map says that there is something.
        if kind == Kind::Taxi || ends.places.len() < NAMED_ENOUGH {
            fill(pieces, component, ends);
        }
    }
    ends
}

/// Adds the middle of the longest road of each cell that has no place.
fn fill(pieces: &[Piece], component: usize, ends: &mut TripEnds) {
    let cell = |p: Point| (p.lat.div_euclid(CELL.lat), p.lng.div_euclid(CELL.lng));
    // A place is in the cell of its piece's middle vertex, as a road is: near enough, and simple.
    let cell_of = |piece: &Piece| cell(piece.points[piece.points.len() / 2]);
    let served: BTreeSet<(i32, i32)> = ends
        .places
        .iter()
        .map(|place| cell_of(&pieces[place.shape as usize]))
        .collect();
    let mut longest: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    let ours = |piece: &Piece| piece.component == component;
    // Where there are motorways only, they have to do.
    let stops = pieces.iter().filter(|p| ours(p) && p.can_stop).count() >= 2;
    for (index, piece) in pieces.iter().enumerate() {
        if !ours(piece) || (stops && !piece.can_stop) || served.contains(&cell_of(piece)) {
            continue;
        }
        let best = longest.entry(cell_of(piece)).or_insert(index);
        if piece.length_m > pieces[*best].length_m {
            *best = index;
        }
    }
    ends.places.extend(longest.into_values().map(|index| Place {
        shape: u32::try_from(index).expect("pieces are counted in u32"),
        along_m: pieces[index].length_m / 2.0,
    }));
    if ends.places.len() < 2 {
        // All within one cell: there is still a way from one end of the longest road to the other.
        let length_m = |index: &usize| pieces[*index].length_m;
        let longest = (0..pieces.len())
            .filter(|index| ours(&pieces[*index]))
            .max_by(|a, b| length_m(a).total_cmp(&length_m(b)));
        ends.places.extend(longest.into_iter().flat_map(|index| {
            [0.2, 0.8].map(|share| Place {
                shape: u32::try_from(index).expect("pieces are counted in u32"),
                along_m: length_m(&index) * share,
            })
        }));
    }
}

/// All segments of all pieces, by position.
struct Roads<'a> {
    pieces: &'a [Piece],
    segments: RTree<Segment>,
}

/// In degrees, x = lng and y = lat; the data is (piece, segment of the piece).
type Segment = GeomWithData<Line<[f64; 2]>, (u32, u32)>;

impl<'a> Roads<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        let corner = |p: Point| [f64::from(p.lng) * 1e-7, f64::from(p.lat) * 1e-7];
        let mut segments = Vec::new();
        for (piece, index) in pieces.iter().zip(0..) {
            for (pair, segment) in piece.points.windows(2).zip(0..) {
                let line = Line::new(corner(pair[0]), corner(pair[1]));
                segments.push(GeomWithData::new(line, (index, segment)));
            }
        }
        Self {
            pieces,
            segments: RTree::bulk_load(segments),
        }
    }

    /// The nearest point of the nearest road within reach; one where a vehicle may stop is preferred to a motorway.
    fn nearest(&self, place: Point) -> Option<Place> {
        let p = LatLng::from(place);
        let per_lng_m = METRES_PER_DEGREE * p.lat.to_radians().cos().max(0.01);
        let reach = [SNAP_MAX_M / per_lng_m, SNAP_MAX_M / METRES_PER_DEGREE];
        let within = AABB::from_corners(
            [p.lng - reach[0], p.lat - reach[1]],
            [p.lng + reach[0], p.lat + reach[1]],
        );
        let plane = |q: [f64; 2]| {
            [
                (q[0] - p.lng) * per_lng_m,
                (q[1] - p.lat) * METRES_PER_DEGREE,
            ]
        };
        self.segments
            .locate_in_envelope_intersecting(&within)
            .map(|segment| {
                let line = segment.geom();
                let (distance_m, fraction) = from_origin(plane(line.from), plane(line.to));
                (distance_m, fraction, segment.data)
            })
            .filter(|(distance_m, ..)| *distance_m <= SNAP_MAX_M)
            .min_by(|(a_m, _, a), (b_m, _, b)| {
                let no_stop = |id: &(u32, u32)| !self.pieces[id.0 as usize].can_stop;
                (no_stop(a).cmp(&no_stop(b)))
                    .then(a_m.total_cmp(b_m))
                    .then(a.cmp(b))
            })
            .map(|(_, fraction, (piece, segment))| self.place(piece, segment, fraction))
    }

    fn place(&self, piece: u32, segment: u32, fraction: f64) -> Place {
        let Piece {
            points,
            length_m: piece_m,
            ..
        } = &self.pieces[piece as usize];
        let segment = segment as usize;
        let before_m = length_m(&points[..=segment]);
        let segment_m = length_m(&points[segment..=segment + 1]);
        Place {
            shape: piece,
            along_m: (before_m + segment_m * fraction).min(*piece_m),
        }
    }
}

/// The distance from the origin to the segment from `a` to `b`, and where on it the nearest point lies, in [0, 1].
fn from_origin(a: [f64; 2], b: [f64; 2]) -> (f64, f64) {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length2 = dx * dx + dy * dy;
    let fraction = if length2 > 0.0 {
        (-(a[0] * dx + a[1] * dy) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let nearest = [a[0] + dx * fraction, a[1] + dy * fraction];
    (nearest[0].hypot(nearest[1]), fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::pbf::{Extract, Way};
    use crate::map::profile::Rules;
    use crate::map::roads_for_tests::at;
    use crate::map::{Prepared, prepare};

    fn road(nodes: [u32; 2], can_stop: bool) -> Way {
        Way {
            nodes: nodes.into_iter().map(Some).collect(),
            rules: Rules {
                forward_mps: Some(10.0),
                backward_mps: Some(10.0),
                duration_s: None,
                can_stop,
            },
        }
    }

    /// A street of 1 km along the equator of our world, and a motorway 60 m north of it, joined at the west end.
    fn street_and_motorway(places: Vec<Point>, kind: Kind) -> Prepared {
        let extract = Extract {
            points: vec![at(0.0, 0.0), at(0.0, 1_000.0), at(60.0, 1_000.0)],
            ways: vec![road([0, 1], true), road([0, 2], false)],
            places,
            restrictions: vec![],
        };
        prepare(&extract, kind).unwrap()
    }

    #[test]
    fn a_place_moves_to_the_nearest_point_of_the_nearest_road() {
        let prepared = street_and_motorway(vec![at(-50.0, 300.0), at(-50.0, 600.0)], Kind::Taxi);
        let places = &prepared.components[0].places;
        assert_eq!(prepared.components[0].named, 2);
        assert_eq!(places[0].shape, 0);
        assert!((places[0].along_m - 300.0).abs() < 1.0, "{places:?}");
        assert!((places[1].along_m - 600.0).abs() < 1.0, "{places:?}");
    }

    #[test]
    fn a_street_is_preferred_to_a_nearer_motorway() {
        let prepared = street_and_motorway(vec![at(50.0, 800.0), at(0.0, 100.0)], Kind::Taxi);
        assert_eq!(prepared.components[0].places[0].shape, 0);
    }

    #[test]
    fn far_places_are_left_out_and_near_ones_are_one() {
        let places = vec![
            at(-250.0, 500.0),
            at(5.0, 504.0),
            at(-5.0, 508.0),
            at(-5.0, 900.0),
        ];
        let prepared = street_and_motorway(places, Kind::Taxi);
        assert_eq!(prepared.components[0].named, 2);
    }

    #[test]
    fn roads_serve_as_trip_ends_where_the_map_names_none() {
        let prepared = street_and_motorway(vec![at(0.0, 10.0)], Kind::Truck);
        let component = &prepared.components[0];
        assert_eq!(component.named, 1);
        assert!(component.places.len() >= 2);
    }
}
