//! The quickest way from where a vehicle is to a place.

use fleet::LatLng;
use petgraph::algo::astar;
use petgraph::visit::EdgeRef;

use crate::map::{Location, Place, Road, RoadId, RoadMap};

/// The way to a place: stretches of road, each going on where the one before ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The stretches, in order.
    pub legs: Vec<Leg>,
    /// Milliseconds at the speeds of the roads, each stretch rounded up. A whole number, so that every method of search
    /// agrees on it to the last bit.
    pub cost_ms: u64,
    /// Where it ends.
    pub end: Location,
}

/// A stretch of one directed road.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg {
    /// The road.
    pub road: RoadId,
    /// Metres from its start to where the stretch begins.
    pub from_m: f64,
    /// Metres from its start to where the stretch ends.
    pub to_m: f64,
}

/// The quickest route from `from` to `to`, by A*; nothing when there is none. A vehicle goes on in its direction: it
/// turns round only where the roads make it.
pub fn quickest(map: &RoadMap, from: Location, to: Place) -> Option<Route> {
    let ahead = map
        .locations(to)
        .find(|goal| goal.road == from.road && goal.at_m >= from.at_m);
    if let Some(goal) = ahead {
        let leg = Leg {
            road: from.road,
            from_m: from.at_m,
            to_m: goal.at_m,
        };
        return Some(Route {
            legs: vec![leg],
            cost_ms: leg.cost_ms(map),
            end: goal,
        });
    }
    map.locations(to)
        .filter_map(|goal| past_junctions(map, from, goal))
        .min_by_key(|route| route.cost_ms)
}

/// The quickest route that leaves the first road at its end and enters the last road at its start.
fn past_junctions(map: &RoadMap, from: Location, goal: Location) -> Option<Route> {
    let (start, _) = map.graph.edge_endpoints(goal.road)?;
    let target = map.graph[start];
    let road_ms = |state: u32| {
        let road = map.road(state);
        cost_ms(&map.graph[road], map.length_m(road))
    };
    // A turn costs the road that it leaves, so a search begins with what comes after the first road.
    let search = |first: u32| {
        astar(
            &map.turns,
            first,
            |state| map.road(state) == goal.road,
            |turn| road_ms(turn.source()),
            |state| {
                let start = map.graph.edge_endpoints(map.road(state));
                start.map_or(0, |(start, _)| at_least_ms(map, map.graph[start], target))
            },
        )
    };
    let setting_off = map.states(from.road).next()?;
    let (between_ms, states) = if from.road == goal.road {
        // All the way round: the search must not end where it begins.
        let next = map.turns.neighbors_slice(setting_off).iter();
        next.filter_map(|next| search(*next))
            .min_by_key(|(cost_ms, _)| *cost_ms)?
    } else {
        let (cost_ms, mut states) = search(setting_off)?;
        states.remove(0);
        (cost_ms - road_ms(setting_off), states)
    };
    let first = Leg {
        road: from.road,
        from_m: from.at_m,
        to_m: map.length_m(from.road),
    };
    let last = Leg {
        road: goal.road,
        from_m: 0.0,
        to_m: goal.at_m,
    };
    let (_, between) = states.split_last()?;
    let between = between.iter().map(|state| Leg {
        road: map.road(*state),
        from_m: 0.0,
        to_m: map.length_m(map.road(*state)),
    });
    Some(Route {
        legs: std::iter::once(first)
            .chain(between)
            .chain(std::iter::once(last))
            .collect(),
        cost_ms: first.cost_ms(map) + between_ms + last.cost_ms(map),
        end: goal,
    })
}

impl Leg {
    fn cost_ms(&self, map: &RoadMap) -> u64 {
        cost_ms(&map.graph[self.road], self.to_m - self.from_m)
    }
}

/// Rounded up, so that [`at_least_ms`], which is rounded down, never promises too little time.
fn cost_ms(road: &Road, length_m: f64) -> u64 {
    (length_m / road.speed_mps * 1_000.0).ceil() as u64
}

/// No way is shorter than the great circle and no road faster than the fastest: a bound that is consistent, so A* is
/// exact.
fn at_least_ms(map: &RoadMap, from: LatLng, to: LatLng) -> u64 {
    (from.distance_m(to) / map.speed_max_mps * 1_000.0 * ROUNDING).floor() as u64
}

/// Roads add up many distances, each with its own rounding error; the bound gives way by more than all of them.
const ROUNDING: f64 = 1.0 - 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Prepared;
    use crate::map::pbf::{Extract, Way};
    use crate::map::profile::Rules;
    use crate::map::roads_for_tests::{at, grid};
    use fleet::Kind;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::cmp::Reverse;
    use std::collections::{BTreeMap, BinaryHeap};

    /// The legs join, lie on their roads, and cost what the route says.
    fn check(map: &RoadMap, from: Location, to: Place, route: &Route) {
        let first = route.legs.first().unwrap();
        assert_eq!((first.road, first.from_m), (from.road, from.at_m));
        let last = route.legs.last().unwrap();
        assert!(map.locations(to).any(|goal| goal == route.end));
        assert_eq!((last.road, last.to_m), (route.end.road, route.end.at_m));
        for pair in route.legs.windows(2) {
            let (_, end) = map.graph.edge_endpoints(pair[0].road).unwrap();
            let (start, _) = map.graph.edge_endpoints(pair[1].road).unwrap();
            assert_eq!(end, start);
            assert_eq!(pair[0].to_m, map.length_m(pair[0].road));
            assert_eq!(pair[1].from_m, 0.0);
        }
        let sum: u64 = route.legs.iter().map(|leg| leg.cost_ms(map)).sum();
        assert_eq!(sum, route.cost_ms);
    }

    /// The cost by Dijkstra's method, without any of the code above but the cost of a stretch.
    fn by_dijkstra(map: &RoadMap, from: Location, to: Place) -> Option<u64> {
        let part = |road: RoadId, m: f64| cost_ms(&map.graph[road], m);
        let whole = |road| part(road, map.length_m(road));
        let mut best: BTreeMap<u32, u64> = BTreeMap::new();
        let mut queue = BinaryHeap::new();
        for next in map.turns.neighbors_slice(map.states(from.road).next()?) {
            queue.push(Reverse((0, *next)));
        }
        while let Some(Reverse((ms, state))) = queue.pop() {
            if best.contains_key(&state) {
                continue;
            }
            best.insert(state, ms);
            for next in map.turns.neighbors_slice(state) {
                queue.push(Reverse((ms + whole(map.road(state)), *next)));
            }
        }
        let rest = part(from.road, map.length_m(from.road) - from.at_m);
        map.locations(to)
            .filter_map(|goal| {
                if goal.road == from.road && goal.at_m >= from.at_m {
                    return Some(part(goal.road, goal.at_m - from.at_m));
                }
                let states = map.states(goal.road);
                let enter = states.filter_map(|state| best.get(&state)).min()?;
                Some(rest + enter + part(goal.road, goal.at_m))
            })
            .min()
    }

    fn compare(map: &RoadMap, pairs: usize) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..pairs {
            let component = &map.components[rng.random_range(0..map.components.len())];
            let mut place = || component.places[rng.random_range(0..component.places.len())];
            let (start, to) = (place(), place());
            for from in map.locations(start) {
                let route = quickest(map, from, to).unwrap();
                check(map, from, to, &route);
                assert_eq!(Some(route.cost_ms), by_dijkstra(map, from, to));
            }
        }
    }

    #[test]
    fn a_star_is_as_quick_as_dijkstra() {
        compare(&RoadMap::new(grid(8, 80.0)), 300);
    }

    #[test]
    fn a_star_is_as_quick_as_dijkstra_on_real_roads() {
        for (file, kind) in [
            ("manhattan.osm.pbf", Kind::Taxi),
            ("rhein-neckar.osm.pbf", Kind::Truck),
        ] {
            let Some(map) = crate::map::roads_for_tests::real(file, kind) else {
                continue;
            };
            compare(&map, 50);
        }
    }

    fn ring() -> Prepared {
        let rules = Rules {
            forward_mps: Some(10.0),
            backward_mps: None,
            duration_s: None,
            can_stop: true,
        };
        let extract = Extract {
            points: vec![
                at(0.0, 0.0),
                at(0.0, 400.0),
                at(400.0, 400.0),
                at(400.0, 0.0),
            ],
            ways: [[0, 1], [1, 2], [2, 3], [3, 0]]
                .into_iter()
                .map(|ends: [u32; 2]| Way {
                    nodes: ends.into_iter().map(Some).collect(),
                    rules,
                })
                .collect(),
            places: vec![at(0.0, 100.0), at(0.0, 300.0)],
            restrictions: vec![],
        };
        crate::map::prepare(&extract, Kind::Taxi).unwrap()
    }

    #[test]
    fn a_place_just_behind_on_a_one_way_ring_is_a_lap_away() {
        let map = RoadMap::new(ring());
        let [first, second] = map.components[0].places[..2] else {
            panic!("two places")
        };
        let at_second = map.locations(second).next().unwrap();
        let at_first = map.locations(first).next().unwrap();
        let metres = |from, to| -> f64 {
            let route = quickest(&map, from, to).unwrap();
            route.legs.iter().map(|leg| leg.to_m - leg.from_m).sum()
        };
        assert!((metres(at_first, second) - 200.0).abs() < 1.0);
        assert!((metres(at_second, first) - 1_400.0).abs() < 2.0);
        assert!((metres(at_second, second)).abs() < 1e-9);
    }
}
