//! Trips: where a vehicle goes next, and with what on board.

use fleet::{Kind, LatLng};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::demand::Hour;
use crate::map::{Component, Place, RoadMap};

/// A trip: the rest before it, then the drive. What is on board stays on board from its first moment to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// 1 for a vehicle's first trip.
    pub number: u64,
    /// Where it ends.
    pub destination: Place,
    /// Whether it carries somebody or something.
    pub hired: bool,
    /// People on board besides the driver; 0 in a truck.
    pub passengers: u32,
    /// Seconds of rest before it sets off.
    pub rest_s: f64,
}

/// Trips shorter than this are not worth getting in for.
const WORTH_M: f64 = 400.0;

/// How many places are looked at in the search for one that is worth the trip, or that is near.
const LOOKS: usize = 6;

/// The share of a truck's trips on which it is loaded. A guess.
const LOADED: f64 = 0.75;

/// Where trips of one fleet go within one part of the map.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch<'a> {
    /// The map.
    pub map: &'a RoadMap,
    /// The part of it.
    pub component: &'a Component,
    /// What drives.
    pub kind: Kind,
    /// The longest rest before a trip, in seconds.
    pub rest_max_s: f64,
    /// What people want at this hour.
    pub hour: Hour,
    /// Whether only places with a name are trip ends.
    pub named_only: bool,
}

impl Dispatch<'_> {
    /// The first trip of a vehicle that stands at `here`.
    pub fn first(&self, here: LatLng, rng: &mut ChaCha8Rng) -> Trip {
        let hired = rng.random_bool(0.5);
        self.trip(1, hired, here, rng)
    }

    /// The trip after `last`, which ended at `here`.
    pub fn after(&self, last: &Trip, here: LatLng, rng: &mut ChaCha8Rng) -> Trip {
        let hired = match self.kind {
            // Whoever has brought people somewhere drives on empty to fetch the next ones.
            Kind::Taxi => !last.hired,
            Kind::Truck => rng.random_bool(LOADED),
        };
        self.trip(last.number + 1, hired, here, rng)
    }

    fn trip(&self, number: u64, hired: bool, here: LatLng, rng: &mut ChaCha8Rng) -> Trip {
        let passengers = match self.kind {
            Kind::Taxi if hired => rng.random_range(1..=4),
            _ => 0,
        };
        let fetching = self.kind == Kind::Taxi && !hired;
        Trip {
            number,
            destination: self.destination(here, fetching, rng),
            hired,
            passengers,
            rest_s: rng.random_range(0.2..=1.0) * self.rest_max_s * self.hour.wait,
        }
    }

    /// The kind of place that people want to go to, where the map has such places.
    fn places(&self, rng: &mut ChaCha8Rng) -> &[Place] {
        let (named, corners) = self
            .component
            .places
            .split_at(self.component.named as usize);
        let to_named = rng.random_bool(self.hour.named) || self.named_only;
        let (wanted, others) = match (self.kind, to_named) {
            (Kind::Taxi, true) => (named, corners),
            (Kind::Taxi, false) => (corners, named),
            (Kind::Truck, _) if self.named_only => (named, corners),
            // Goods go to all places alike.
            (Kind::Truck, _) => (&self.component.places[..], named),
        };
        // One place is nowhere to go on from.
        if wanted.len() > 1 {
            wanted
        } else if others.len() > 1 {
            others
        } else {
            &self.component.places
        }
    }

    /// Somewhere else; the nearest of a few when fetching, since the next customer is more likely to be near.
    fn destination(&self, here: LatLng, fetching: bool, rng: &mut ChaCha8Rng) -> Place {
        let places = self.places(rng);
        let looked_at = [(); LOOKS].map(|()| {
            let place = places[rng.random_range(0..places.len())];
            (here.distance_m(self.map.position(place)), place)
        });
        let mut worth = looked_at
            .iter()
            .filter(|(distance_m, _)| *distance_m >= WORTH_M);
        let chosen = if fetching {
            worth.min_by(|a, b| a.0.total_cmp(&b.0))
        } else {
            worth.next()
        };
        // On a small map nothing is far: then the farthest.
        chosen
            .or_else(|| looked_at.iter().max_by(|a, b| a.0.total_cmp(&b.0)))
            .map_or(looked_at[0].1, |(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Demand;
    use crate::map::roads_for_tests::grid;
    use rand::SeedableRng;

    fn trips(kind: Kind, count: usize) -> Vec<(Trip, f64)> {
        let map = RoadMap::new(grid(10, 200.0));
        let dispatch = Dispatch {
            map: &map,
            component: &map.components[0],
            kind,
            rest_max_s: 10.0,
            hour: Demand::Steady.at(0.0),
            named_only: false,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut here = map.position(dispatch.component.places[0]);
        let mut trip = dispatch.first(here, &mut rng);
        let mut trips = Vec::new();
        while trips.len() < count {
            let there = map.position(trip.destination);
            let next = dispatch.after(&trip, there, &mut rng);
            trips.push((trip, here.distance_m(there)));
            here = there;
            trip = next;
        }
        trips
    }

    #[test]
    fn a_taxi_fetches_people_between_hired_trips() {
        let trips = trips(Kind::Taxi, 400);
        for (index, (trip, way_m)) in trips.iter().enumerate() {
            assert_eq!(trip.number, index as u64 + 1);
            assert_eq!(trip.hired, trips[0].0.hired == (index % 2 == 0));
            assert_eq!(trip.hired, (1..=4).contains(&trip.passengers));
            assert!((2.0..=10.0).contains(&trip.rest_s));
            assert!(*way_m >= WORTH_M);
        }
        let mean = |hired| {
            let ways = trips.iter().filter(|(trip, _)| trip.hired == hired);
            ways.map(|(_, way_m)| way_m).sum::<f64>() / 200.0
        };
        assert!(mean(false) < mean(true), "the next customer is near");
    }

    #[test]
    fn a_truck_carries_goods_and_no_passengers() {
        let trips = trips(Kind::Truck, 400);
        assert!(trips.iter().all(|(trip, _)| trip.passengers == 0));
        let loaded = trips.iter().filter(|(trip, _)| trip.hired).count();
        assert!((240..360).contains(&loaded), "{loaded} of 400");
    }
}
