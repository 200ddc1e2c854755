//! A fleet in simulated time alone: the messages of all its vehicles, in order. No clock, no sockets, no threads.
//!
//! At the same time of its own clock a vehicle of [`crate::Simulator`] with the same seed is at the same place, on the same
//! trip. Its timestamps and numbers are of the wall clock, though, and it says nothing while it is not connected.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use fleet::Topics;

use crate::map::RoadMap;
use crate::vehicle::{Planned, Vehicle, Wanted, World};

/// A message, and when it is published.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Since the fleet began.
    pub at: Duration,
    /// The MQTT topic.
    pub topic: String,
    /// A position in JSON. Its timestamp is `at`, in milliseconds.
    pub payload: Vec<u8>,
}

/// The messages of a fleet, in order of time, then of the vehicles' numbers. It has no end.
pub struct Timeline {
    vehicles: Vec<(u32, Vehicle)>,
    topics: Topics,
    interval: Duration,
    /// Next ticks: when, and the vehicle's place in the list.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The other topics of the last position.
    copies: Vec<Timed>,
}

impl Timeline {
    /// A fleet of these vehicles (their numbers) with a position every `interval` of simulated time. Those that find no
    /// route are left out.
    pub fn new(
        world: &Arc<World>,
        numbers: impl IntoIterator<Item = u32>,
        interval: Duration,
    ) -> Self {
        let vehicles: Vec<(u32, Vehicle)> = numbers
            .into_iter()
            .filter_map(|number| Some((number, Vehicle::new(Arc::clone(world), number, 0)?)))
            .collect();
        let first = vehicles.iter().enumerate();
        Self {
            due: first
                .map(|(place, (number, _))| Reverse((phase(interval, *number), place)))
                .collect(),
            vehicles,
            topics: Topics::default(),
            interval,
            copies: Vec::new(),
        }
    }

    /// The next message, with `plan` to search routes.
    pub fn next_by(
        &mut self,
        plan: impl FnMut(&Wanted, &RoadMap) -> Option<Planned>,
    ) -> Option<Timed> {
        if let Some(copy) = self.copies.pop() {
            return Some(copy);
        }
        let Reverse((at, place)) = self.due.pop()?;
        self.due.push(Reverse((at + self.interval, place)));
        let (_, vehicle) = &mut self.vehicles[place];
        vehicle.advance(self.interval.as_secs_f64(), plan);
        let payload = vehicle.next_position(at.as_millis() as u64).to_json();
        if vehicle.is_visible() {
            self.copies.push(Timed {
                at,
                topic: self.topics.visible_vehicle_update(vehicle.plate()),
                payload: payload.clone(),
            });
        }
        Some(Timed {
            at,
            topic: self.topics.vehicle_update(vehicle.plate()),
            payload,
        })
    }
}

impl Iterator for Timeline {
    type Item = Timed;

    fn next(&mut self) -> Option<Timed> {
        self.next_by(|wanted, map| wanted.plan(map))
    }
}

/// When in the interval a vehicle has its tick, so that all take turns: multiples of the golden ratio leave no gaps and
/// no bunches, however many there are.
pub(crate) fn phase(interval: Duration, number: u32) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    interval.mul_f64((f64::from(number) * GOLDEN).fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::roads_for_tests::grid;
    use fleet::Kind;

    const INTERVAL: Duration = Duration::from_millis(500);
    const MESSAGES: usize = 60_000;

    fn world(seed: u64) -> Arc<World> {
        Arc::new(World {
            seed,
            visible: 3,
            rest_max_s: 10.0,
            ..World::new(RoadMap::new(grid(8, 150.0)), Kind::Taxi)
        })
    }

    fn messages(seed: u64) -> Vec<Timed> {
        let timeline = Timeline::new(&world(seed), 0..30, INTERVAL);
        timeline.take(MESSAGES).collect()
    }

    #[test]
    fn one_seed_gives_one_stream_to_the_byte() {
        let stream = messages(1);
        assert_eq!(stream, messages(1));
        assert_ne!(stream, messages(2));
        assert!(stream.windows(2).all(|pair| pair[0].at <= pair[1].at));
        // 33 messages of 30 vehicles in each interval.
        assert_eq!(stream[MESSAGES - 1].at.as_secs(), 909);
    }

    #[test]
    fn threads_change_nothing() {
        let world = world(1);
        let parts: Vec<Vec<Timed>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u32)
                .map(|thread| {
                    let world = &world;
                    scope.spawn(move || {
                        let mine = (0..30).filter(|number| number % 4 == thread);
                        let timeline = Timeline::new(world, mine, INTERVAL);
                        timeline
                            .take_while(|m| m.at < Duration::from_secs(900))
                            .collect()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut all: Vec<Timed> = parts.into_iter().flatten().collect();
        // No two vehicles of 30 have their ticks at the same time, and the sort is stable.
        all.sort_by_key(|message| message.at);
        let mut one = messages(1);
        one.retain(|message| message.at < Duration::from_secs(900));
        assert_eq!(all, one);
    }

    /// What a vehicle publishes when each route is there only after some ticks more than the vehicle asked for it.
    fn late_by(ticks: impl Fn(u64) -> u32) -> Vec<Vec<u8>> {
        let world = world(5);
        let mut vehicle = Vehicle::new(Arc::clone(&world), 7, 0).unwrap();
        let mut left = None;
        let mut payloads = Vec::new();
        while payloads.len() < 5_000 {
            if let Some(wanted) = vehicle.wanted() {
                match left.get_or_insert_with(|| ticks(vehicle.trip().number)) {
                    0 => {
                        vehicle.set_plan(wanted.plan(&world.map));
                        left = None;
                    }
                    more => *more -= 1,
                }
            }
            if vehicle.step(0.5) {
                // How late an answer is shows in the arrival that is expected until it is there.
                let mut position = vehicle.next_position(0);
                position.eta_seconds = 0.0;
                payloads.push(position.to_json());
            }
        }
        payloads
    }

    #[test]
    fn slow_searches_change_nothing() {
        let at_once = late_by(|_| 0);
        assert_eq!(at_once, late_by(|trip| (trip * 13 % 40) as u32));
        assert_eq!(at_once, late_by(|_| 1_000));
    }
}
