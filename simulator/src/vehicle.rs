//! One vehicle: it rests, drives a trip, rests, drives the next. Pure: time comes in as seconds, routes come in when
//! somebody has searched them.

use std::sync::Arc;

use fleet::{Kind, LatLng, Plate, Position};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::identity::{self, Company};
use crate::map::{Location, Place, RoadMap};
use crate::motion::{Drive, Driver, Fix};
use crate::route;
use crate::trip::{Dispatch, Trip};

/// What all vehicles of a fleet share.
#[derive(Debug)]
pub struct World {
    /// The roads.
    pub map: RoadMap,
    /// What drives on them.
    pub kind: Kind,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The longest rest between two trips, in seconds.
    pub rest_max_s: f64,
    /// How many vehicles, from the first on, are visible.
    pub visible: u32,
}

impl World {
    fn dispatch(&self, component: usize) -> Dispatch<'_> {
        Dispatch {
            map: &self.map,
            component: &self.map.components[component],
            kind: self.kind,
            rest_max_s: self.rest_max_s,
        }
    }
}

/// A vehicle on its way.
#[derive(Debug)]
pub struct Vehicle {
    world: Arc<World>,
    index: u32,
    plate: Plate,
    company: &'static Company,
    driver: Driver,
    rng: ChaCha8Rng,
    component: usize,
    /// Where its last trip ended.
    location: Location,
    trip: Trip,
    phase: Phase,
    fix: Fix,
    /// The number of the last position.
    sequence: u64,
}

#[derive(Debug)]
enum Phase {
    /// Standing. The drive is there once its route has been searched.
    Resting {
        left_s: f64,
        drive: Option<(Box<Drive>, Location)>,
    },
    Driving {
        elapsed_s: f64,
        drive: Box<Drive>,
        end: Location,
    },
}

/// A route that a vehicle waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// From where, and in which direction.
    pub from: Location,
    /// To where.
    pub to: Place,
    /// How it will be driven.
    pub driver: Driver,
}

/// A planned drive, and where it leaves the vehicle.
pub type Planned = (Box<Drive>, Location);

impl Wanted {
    /// Searches the route and plans the drive. This is the expensive part of a trip: milliseconds.
    pub fn plan(&self, map: &RoadMap) -> Option<Planned> {
        let route = route::quickest(map, self.from, self.to)?;
        let drive = Drive::new(map, &route, self.driver);
        Some((Box::new(drive), route.end))
    }
}

impl Vehicle {
    /// Vehicle `index` of a fleet, somewhere on its first trip. `sequence` is the number of the position before its
    /// first. Nothing when the map has no route for it.
    pub fn new(world: Arc<World>, index: u32, sequence: u64) -> Option<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(world.seed);
        // A stream of its own, so that a vehicle does the same whatever the others do.
        rng.set_stream(u64::from(index));
        let driver = Driver::new(world.kind, rng.random_range(0.85..=1.0));
        let company = &identity::companies_of(world.kind)[company_index(&mut rng)];
        let component = component_index(&world.map, &mut rng);
        let map = &world.map;
        let places = &map.components[component].places;
        let start = places[rng.random_range(0..places.len())];
        let here = map.position(start);
        let directions: Vec<Location> = map.locations(start).collect();
        let location = *directions.get(rng.random_range(0..directions.len().max(1)))?;
        let trip = world.dispatch(component).first(here, &mut rng);
        let wanted = Wanted {
            from: location,
            to: trip.destination,
            driver,
        };
        let (drive, end) = wanted.plan(map)?;
        // The fleet has been on the road for a while when the first look falls on it.
        let elapsed_s = rng.random_range(0.0..0.9) * drive.seconds();
        Some(Self {
            index,
            plate: identity::plate(world.kind, index),
            company,
            driver,
            rng,
            component,
            location,
            trip,
            fix: drive.at(elapsed_s),
            phase: Phase::Driving {
                elapsed_s,
                drive,
                end,
            },
            sequence,
            world,
        })
    }

    /// Its plate.
    pub fn plate(&self) -> &Plate {
        &self.plate
    }

    /// Whether it is among the first N.
    pub fn is_visible(&self) -> bool {
        self.index < self.world.visible
    }

    /// The trip it is on, or about to set off on.
    pub fn trip(&self) -> &Trip {
        &self.trip
    }

    /// The drive it is on or about to set off on, once that is planned.
    pub fn drive(&self) -> Option<&Drive> {
        match &self.phase {
            Phase::Resting { drive, .. } => drive.as_ref().map(|(drive, _)| &**drive),
            Phase::Driving { drive, .. } => Some(drive),
        }
    }

    /// The route it waits for, if it does: the answer goes to [`Vehicle::set_plan`].
    pub fn wanted(&self) -> Option<Wanted> {
        let waits = matches!(self.phase, Phase::Resting { drive: None, .. });
        waits.then_some(Wanted {
            from: self.location,
            to: self.trip.destination,
            driver: self.driver,
        })
    }

    /// Takes the answer to [`Vehicle::wanted`]. Without a route it will want to go somewhere else.
    pub fn set_plan(&mut self, planned: Option<Planned>) {
        let Phase::Resting { drive, .. } = &mut self.phase else {
            return;
        };
        match planned {
            Some(planned) => *drive = Some(planned),
            None => self.trip.destination = self.next_trip().destination,
        }
    }

    /// Lets `seconds` pass.
    pub fn step(&mut self, seconds: f64) {
        match &mut self.phase {
            Phase::Driving {
                elapsed_s,
                drive,
                end,
            } => {
                if *elapsed_s >= drive.seconds() {
                    self.location = *end;
                    self.begin_trip(seconds);
                    return;
                }
                *elapsed_s = (*elapsed_s + seconds).min(drive.seconds());
                self.fix = drive.at(*elapsed_s);
            }
            Phase::Resting { left_s, drive } => {
                *left_s -= seconds;
                if *left_s > 0.0 {
                    return;
                }
                if let Some((drive, end)) = drive.take() {
                    let elapsed_s = -*left_s;
                    self.fix = drive.at(elapsed_s);
                    self.phase = Phase::Driving {
                        elapsed_s,
                        drive,
                        end,
                    };
                } else {
                    *left_s = 0.0;
                }
            }
        }
    }

    fn begin_trip(&mut self, seconds: f64) {
        self.trip = self.next_trip();
        self.phase = Phase::Resting {
            left_s: (self.trip.rest_s - seconds).max(0.0),
            drive: None,
        };
    }

    fn next_trip(&mut self) -> Trip {
        let dispatch = self.world.dispatch(self.component);
        dispatch.after(&self.trip, self.fix.position, &mut self.rng)
    }

    /// The next position to publish: its number is one more than that of the one before.
    pub fn next_position(&mut self, now_ms: u64) -> Position {
        self.sequence += 1;
        let eta_s = match &self.phase {
            Phase::Resting { left_s, drive } => {
                left_s + drive.as_ref().map_or(0.0, |(drive, _)| drive.seconds())
            }
            Phase::Driving { .. } => self.fix.left_s,
        };
        Position {
            plate: self.plate.clone(),
            current: rounded(self.fix.position),
            waypoint: rounded(self.fix.waypoint),
            speed: tenths(self.fix.speed_mps * 3.6),
            visible: self.is_visible(),
            distance: tenths(self.fix.distance_m),
            update_timestamp: now_ms,
            passengers: self.trip.passengers,
            company_name: self.company.name.to_owned(),
            company_color: self.company.color.to_owned(),
            company_shape: self.company.shape.to_owned(),
            is_hired: self.trip.hired,
            id: self.index.to_string(),
            kind: self.world.kind,
            bearing: tenths(self.fix.bearing_deg) % 360.0,
            trip_id: format!("{}-{}", self.plate, self.trip.number),
            destination: rounded(self.world.map.position(self.trip.destination)),
            eta_seconds: tenths(eta_s),
            sequence: self.sequence,
            speed_limit: None,
        }
    }
}

/// The first companies are the larger ones: the smaller of two throws.
fn company_index(rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..10).min(rng.random_range(0..10))
}

/// A part of the network, by its share of the roads.
fn component_index(map: &RoadMap, rng: &mut ChaCha8Rng) -> usize {
    let all_m: f64 = map.components.iter().map(|c| c.length_m).sum();
    let mut left_m = rng.random_range(0.0..1.0) * all_m;
    for (index, component) in map.components.iter().enumerate() {
        if left_m < component.length_m {
            return index;
        }
        left_m -= component.length_m;
    }
    0
}

/// A tenth is finer than anybody looks at, and shorter to send.
fn tenths(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// To the centimetre, as maps are.
fn rounded(p: LatLng) -> LatLng {
    let round = |degrees: f64| (degrees * 1e7).round() / 1e7;
    LatLng::new(round(p.lat), round(p.lng))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::roads_for_tests::{grid, real};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn world(map: RoadMap, kind: Kind, seed: u64) -> Arc<World> {
        Arc::new(World {
            map,
            kind,
            seed,
            rest_max_s: 10.0,
            visible: 1,
        })
    }

    /// Steps and answers at once what the vehicle wants.
    fn step(vehicle: &mut Vehicle, seconds: f64) {
        vehicle.step(seconds);
        if let Some(wanted) = vehicle.wanted() {
            let planned = wanted.plan(&vehicle.world.map);
            vehicle.set_plan(planned);
        }
    }

    /// Metres from `p` to the nearest of these lines.
    fn off_road_m(p: LatLng, lines: &[LatLng]) -> f64 {
        let plane = |q: LatLng| {
            let per_lng = 111_195.0 * p.lat.to_radians().cos();
            ((q.lng - p.lng) * per_lng, (q.lat - p.lat) * 111_195.0)
        };
        let mut nearest = p.distance_m(lines[0]);
        for pair in lines.windows(2) {
            let (a, b) = (plane(pair[0]), plane(pair[1]));
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let along = -(a.0 * dx + a.1 * dy) / (dx * dx + dy * dy).max(1e-12);
            let along = along.clamp(0.0, 1.0);
            nearest = nearest.min((a.0 + dx * along).hypot(a.1 + dy * along));
        }
        nearest
    }

    /// Drives for a while and holds every position against the promises of a fleet.
    fn check_positions(world: &Arc<World>, index: u32, seconds: &[f64]) {
        let mut vehicle = Vehicle::new(Arc::clone(world), index, 41).unwrap();
        let fastest_kmh = world.map.speed_max_mps * 3.6;
        let mut before = vehicle.next_position(0);
        assert_eq!(before.sequence, 42);
        assert_eq!(before.trip_id, format!("{}-1", before.plate));
        let mut on_board: BTreeMap<String, (u32, bool)> = BTreeMap::new();
        for &seconds in seconds {
            step(&mut vehicle, seconds);
            let now = vehicle.next_position(0);
            Position::from_json(&now.to_json()).unwrap();
            assert_eq!(now.sequence, before.sequence + 1);
            let moved_m = before.current.distance_m(now.current);
            let fastest_mps = fastest_kmh / 3.6;
            assert!(
                moved_m <= fastest_mps * seconds + 0.1,
                "{moved_m} m in {seconds} s"
            );
            assert!(now.speed <= fastest_kmh * 1.05);
            let road: Vec<LatLng> = vehicle.drive().unwrap().polyline().collect();
            let off_m = off_road_m(now.current, &road);
            assert!(off_m < 1.0, "{off_m} m off the road at {now:?}");
            let load = (now.passengers, now.is_hired);
            assert_eq!(*on_board.entry(now.trip_id.clone()).or_insert(load), load);
            if now.trip_id == before.trip_id {
                assert_eq!(now.destination, before.destination);
            } else {
                assert!(moved_m < 0.1, "a trip begins where the last one ended");
                assert!(before.current.distance_m(before.destination) < 0.1);
                assert_eq!(before.speed, 0.0);
                assert_eq!(before.eta_seconds, 0.0);
            }
            before = now;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_position_keeps_the_promises(
            seed: u64,
            index in 0_u32..1_000,
            seconds in proptest::collection::vec(0.01_f64..5.0, 1..600),
        ) {
            let world = world(RoadMap::new(grid(6, 150.0)), Kind::Taxi, seed);
            check_positions(&world, index, &seconds);
        }
    }

    #[test]
    fn every_position_keeps_the_promises_on_real_roads() {
        for (file, kind) in [
            ("manhattan.osm.pbf", Kind::Taxi),
            ("milan.osm.pbf", Kind::Truck),
        ] {
            let Some(map) = real(file, kind) else {
                continue;
            };
            let world = world(map, kind, 1);
            for index in 0..20 {
                check_positions(&world, index, &[0.5; 2_400]);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_drive() {
        let run = |seed| {
            let world = world(RoadMap::new(grid(6, 150.0)), Kind::Taxi, seed);
            let mut vehicle = Vehicle::new(world, 5, 0).unwrap();
            (0..2_000)
                .map(|_| {
                    step(&mut vehicle, 0.5);
                    vehicle.next_position(0)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn trips_follow_one_another_to_new_places() {
        let world = world(RoadMap::new(grid(8, 150.0)), Kind::Taxi, 9);
        let mut vehicle = Vehicle::new(world, 0, 0).unwrap();
        let mut trips: Vec<Trip> = Vec::new();
        for _ in 0..20_000 {
            step(&mut vehicle, 0.5);
            if trips
                .last()
                .is_none_or(|trip| trip.number != vehicle.trip().number)
            {
                trips.push(vehicle.trip().clone());
            }
        }
        assert!(trips.len() > 30, "{} trips", trips.len());
        for pair in trips.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1);
            assert_ne!(pair[0].destination, pair[1].destination);
            assert_ne!(pair[0].hired, pair[1].hired);
        }
    }

    #[test]
    fn the_arrival_is_when_it_was_said_to_be() {
        let world = world(RoadMap::new(grid(8, 150.0)), Kind::Taxi, 4);
        let mut vehicle = Vehicle::new(world, 0, 0).unwrap();
        let said = vehicle.next_position(0);
        let mut took_s = 0.0;
        while vehicle.next_position(0).eta_seconds > 0.0 {
            vehicle.step(0.1);
            took_s += 0.1;
        }
        assert!((said.eta_seconds - took_s).abs() < 0.3, "{took_s} {said:?}");
    }

    #[test]
    fn without_a_route_it_wants_to_go_elsewhere() {
        let world = world(RoadMap::new(grid(4, 300.0)), Kind::Taxi, 4);
        let mut vehicle = Vehicle::new(world, 0, 0).unwrap();
        while vehicle.wanted().is_none() {
            vehicle.step(1.0);
        }
        let first = vehicle.wanted().unwrap();
        let trip = vehicle.trip().number;
        vehicle.step(1_000.0);
        let standing = vehicle.next_position(0);
        vehicle.set_plan(None);
        assert_ne!(vehicle.wanted().unwrap().to, first.to);
        vehicle.step(1_000.0);
        assert_eq!(vehicle.next_position(0).current, standing.current);
        assert_eq!(vehicle.trip().number, trip);
    }
}
