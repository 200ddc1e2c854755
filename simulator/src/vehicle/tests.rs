//! A vehicle against the promises of a fleet.

use super::*;
use crate::map::roads_for_tests::{grid, real};
use crate::motion::Duty;
use fleet::Kind;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn world(map: RoadMap, kind: Kind, seed: u64) -> Arc<World> {
    Arc::new(World {
        seed,
        rest_max_s: 10.0,
        visible: 1,
        ..World::new(map, kind)
    })
}

/// Steps and answers at once what the vehicle wants.
fn step(vehicle: &mut Vehicle, seconds: f64) {
    vehicle.advance(seconds, |wanted, map| wanted.plan(map));
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
    for &step_s in seconds {
        // What the step before left over passes, too.
        let seconds = step_s + vehicle.due_s;
        step(&mut vehicle, step_s);
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
        step(&mut vehicle, 0.1);
        took_s += 0.1;
    }
    assert!((said.eta_seconds - took_s).abs() < 0.3, "{took_s} {said:?}");
}

#[test]
fn without_a_route_it_wants_to_go_elsewhere() {
    let world = world(RoadMap::new(grid(4, 300.0)), Kind::Taxi, 4);
    let mut vehicle = Vehicle::new(world, 0, 0).unwrap();
    while vehicle.wanted().is_none() {
        let _moves = vehicle.step(1.0);
    }
    let first = vehicle.wanted().unwrap();
    let trip = vehicle.trip().number;
    assert!(
        !vehicle.step(1_000.0),
        "the rest is over, and there is no route"
    );
    let standing = vehicle.next_position(0);
    vehicle.set_plan(None);
    assert_ne!(vehicle.wanted().unwrap().to, first.to);
    assert!(!vehicle.step(1_000.0));
    assert_eq!(vehicle.next_position(0).current, standing.current);
    assert_eq!(vehicle.trip().number, trip);
}

/// Steps of a tenth of a second, with orders at some of them: nothing jumps, whatever the vehicle is told.
fn check_orders(world: &Arc<World>, index: u32, gaps: &[u32]) {
    const STEP_S: f64 = 0.1;
    let mut vehicle = Vehicle::new(Arc::clone(world), index, 0).unwrap();
    let Driver {
        accelerate, brake, ..
    } = vehicle.driver;
    let places = &world.map.components[vehicle.component].places;
    let mut before = vehicle.fix;
    for (number, gap) in gaps.iter().enumerate() {
        for _ in 0..*gap {
            let step_s = STEP_S + vehicle.due_s;
            step(&mut vehicle, STEP_S);
            let now = vehicle.fix;
            let moved_m = before.position.distance_m(now.position);
            let fastest = before.speed_mps.max(now.speed_mps);
            assert!(
                moved_m <= fastest * step_s + 0.15,
                "{moved_m} m at {fastest} m/s"
            );
            let change_mps = now.speed_mps - before.speed_mps;
            // Vertices within centimetres of each other are one, which a new drive may see otherwise.
            let (up, down) = (accelerate * step_s + 0.1, brake * step_s + 0.1);
            assert!(
                (-down..=up).contains(&change_mps),
                "{change_mps} m/s at once"
            );
            let road: Vec<LatLng> = vehicle
                .drive()
                .map_or(vec![now.position], |drive| drive.polyline().collect());
            assert!(off_road_m(now.position, &road) < 0.2);
            before = now;
        }
        let (trip, on_board) = (vehicle.trip().number, vehicle.trip().passengers);
        let place = places[(number * 7 + 3) % places.len()];
        let destination = world.map.position(place);
        vehicle.order(&Command::Go { destination }).unwrap();
        assert!(vehicle.order(&Command::Recall).is_err(), "one at a time");
        assert!(!vehicle.step(0.0), "it waits for its route");
        let planned = vehicle.wanted().unwrap().plan(&world.map);
        vehicle.set_plan(planned);
        assert_eq!(vehicle.trip().number, trip + 1);
        assert_eq!(vehicle.trip().passengers, on_board);
        assert_eq!(vehicle.destination(), destination);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_jumps_whatever_it_is_told(
        seed: u64,
        gaps in proptest::collection::vec(0_u32..400, 1..20),
    ) {
        let world = world(RoadMap::new(grid(6, 150.0)), Kind::Taxi, seed);
        check_orders(&world, 3, &gaps);
    }
}

#[test]
fn nothing_jumps_on_real_roads() {
    for (file, kind) in [
        ("manhattan.osm.pbf", Kind::Taxi),
        ("milan.osm.pbf", Kind::Truck),
    ] {
        let Some(map) = real(file, kind) else {
            continue;
        };
        let world = world(map, kind, 1);
        for index in 0..10 {
            let gaps: Vec<u32> = (0..30).map(|i| i * 137 % 600).collect();
            check_orders(&world, index, &gaps);
        }
    }
}

#[test]
fn a_recalled_vehicle_stays_until_it_is_told_to_go() {
    let world = world(RoadMap::new(grid(6, 150.0)), Kind::Taxi, 3);
    let mut vehicle = Vehicle::new(Arc::clone(&world), 2, 0).unwrap();
    vehicle.order(&Command::Recall).unwrap();
    for _ in 0..2_000 {
        step(&mut vehicle, 1.0);
    }
    let home = vehicle.next_position(0);
    assert_eq!((home.speed, home.eta_seconds), (0.0, 0.0));
    assert_eq!(home.current, home.destination);
    assert_eq!(vehicle.trip().number, 2);
    let far = LatLng::new(-60.0, 100.0);
    let refused = vehicle
        .order(&Command::Go { destination: far })
        .unwrap_err();
    assert!(refused.contains("within 1000 m"), "{refused}");
    step(&mut vehicle, 1.0);
    assert_eq!(vehicle.next_position(0).current, home.current);
    let corner = world.map.position(world.map.components[0].places[5]);
    vehicle
        .order(&Command::Go {
            destination: corner,
        })
        .unwrap();
    for _ in 0..2_000 {
        step(&mut vehicle, 1.0);
    }
    assert!(vehicle.trip().number > 3, "it is back at work");
}

/// The errors of all arrivals that were promised, in seconds.
fn arrival_errors(world: &Arc<World>, vehicles: u32, seconds: u32) -> Vec<f64> {
    let mut errors = Vec::new();
    for index in 0..vehicles {
        let mut vehicle = Vehicle::new(Arc::clone(world), index, 0).unwrap();
        let mut promised: Vec<f64> = Vec::new();
        let mut trip = vehicle.trip().number;
        for at_s in 0..seconds {
            step(&mut vehicle, 1.0);
            let position = vehicle.next_position(0);
            if vehicle.trip().number != trip {
                promised.clear();
                trip = vehicle.trip().number;
            }
            promised.push(f64::from(at_s) + position.eta_seconds);
            if position.eta_seconds == 0.0 {
                let arrived = promised.drain(..).map(|p| (p - f64::from(at_s)).abs());
                errors.extend(arrived);
            }
        }
    }
    errors
}

#[test]
fn arrivals_are_when_they_were_said_to_be() {
    let taxis = world(RoadMap::new(grid(8, 150.0)), Kind::Taxi, 6);
    let trucks = Arc::new(World {
        duty: Some(Duty {
            drive_s: 200.0,
            break_s: 100.0,
        }),
        ..(*world(RoadMap::new(grid(20, 150.0)), Kind::Truck, 6)).clone()
    });
    for world in [taxis, trucks] {
        let errors = arrival_errors(&world, 20, 4_000);
        let mean_s = errors.iter().sum::<f64>() / errors.len() as f64;
        println!(
            "{}: mean error of {} arrivals: {mean_s:.2} s",
            world.kind,
            errors.len()
        );
        assert!(errors.len() > 10_000);
        // A step is one second, and arrivals lie between two.
        assert!(mean_s < 1.0, "{mean_s} s");
    }
}

#[test]
fn drivers_rest_after_their_driving_time() {
    let duty = Duty {
        drive_s: 300.0,
        break_s: 120.0,
    };
    let world = Arc::new(World {
        duty: Some(duty),
        ..(*world(RoadMap::new(grid(20, 150.0)), Kind::Truck, 6)).clone()
    });
    for index in 0..10 {
        let mut vehicle = Vehicle::new(Arc::clone(&world), index, 0).unwrap();
        let (mut driven_s, mut stood_s, mut breaks) = (0.0, 0.0_f64, 0);
        for _ in 0..20_000 {
            step(&mut vehicle, 0.5);
            if vehicle.fix.speed_mps > 0.0 {
                if stood_s >= duty.break_s - 1.0 {
                    (driven_s, breaks) = (0.0, breaks + 1);
                }
                stood_s = 0.0;
                driven_s += 0.5;
            } else {
                stood_s += 0.5;
            }
            assert!(driven_s <= duty.drive_s, "{driven_s} s without a break");
        }
        assert!(breaks > 10, "{breaks} breaks");
    }
}
