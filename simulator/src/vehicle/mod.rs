//! One vehicle: it rests, drives a trip, rests, drives the next. Pure: time comes in as seconds, routes come in when
//! somebody has searched them.
//!
//! How long a search takes changes nothing: a vehicle whose route is not there when its rest is over stands still *in
//! its own time*, too. What it does after so many seconds of that is decided by the seed and its orders alone.

mod saved;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use fleet::{Command, LatLng, Plate, Position};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::identity::{self, Company};
use crate::map::{Location, RoadMap};
use crate::motion::{Departure, Drive, Driver, Fix};
use crate::trip::Trip;
pub use crate::world::{Planned, Wanted, World};
pub use saved::Saved;

/// A destination further than this from all places of the map is refused.
const NEAR_M: f64 = 1_000.0;

/// A vehicle on its way.
#[derive(Debug)]
pub struct Vehicle {
    world: Arc<World>,
    index: u32,
    plate: Plate,
    company: &'static Company,
    /// The part of the map that it drives in.
    component: usize,
    driver: Driver,
    rng: ChaCha8Rng,
    /// Where its last drive ended.
    location: Location,
    trip: Trip,
    phase: Phase,
    fix: Fix,
    /// The number of the last position.
    sequence: u64,
    /// Seconds that have passed for it.
    clock_s: f64,
    /// Seconds that have passed and that it has not lived through yet.
    due_s: f64,
    /// Whether it waits for a route that it needs now.
    held: bool,
    /// Seconds driven since the last break.
    driven_s: f64,
    /// What it was ordered to do, until the route is there.
    order: Option<Wanted>,
    /// Whether it stays where its trip ends.
    recalled: bool,
}

#[derive(Debug)]
enum Phase {
    /// Standing. The drive is there once its route has been searched.
    Resting { left_s: f64, drive: Option<Planned> },
    Driving {
        elapsed_s: f64,
        /// What the drive was planned for.
        wanted: Wanted,
        drive: Box<Drive>,
        end: Location,
    },
    /// Standing until it is ordered to go.
    Recalled,
}

impl Vehicle {
    /// Vehicle `index` of a fleet, somewhere on its first trip. `sequence` is the number of the position before its
    /// first. Nothing when the map has no route for it.
    pub fn new(world: Arc<World>, index: u32, sequence: u64) -> Option<Self> {
        let mut rng = rng(&world, index);
        let (driver, company, component) = character(&world, &mut rng);
        let map = &world.map;
        let places = &map.components[component].places;
        let start = places[rng.random_range(0..places.len())];
        let here = map.position(start);
        let directions: Vec<Location> = map.locations(start).collect();
        let location = *directions.get(rng.random_range(0..directions.len().max(1)))?;
        let trip = world.dispatch(component, 0.0).first(here, &mut rng);
        let wanted = Wanted {
            from: location,
            lead: Vec::new(),
            to: trip.destination,
            driver,
            departure: Departure {
                duty: world.duty,
                ..Departure::default()
            },
        };
        let (drive, end) = wanted.plan(map)?;
        // The fleet has been on the road for a while when the first look falls on it.
        let elapsed_s = rng.random_range(0.0..0.9) * drive.seconds();
        Some(Self {
            index,
            plate: identity::plate(world.kind, index),
            company,
            component,
            driver,
            rng,
            location,
            trip,
            fix: drive.at(elapsed_s),
            phase: Phase::Driving {
                elapsed_s,
                wanted,
                drive,
                end,
            },
            sequence,
            clock_s: 0.0,
            due_s: 0.0,
            held: false,
            driven_s: 0.0,
            order: None,
            recalled: false,
            world,
        })
    }

    /// Where it lives.
    pub fn world(&self) -> &Arc<World> {
        &self.world
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

    /// Where its trip ends.
    pub fn destination(&self) -> LatLng {
        self.world.map.position(self.trip.destination)
    }

    /// The drive it is on or about to set off on, once that is planned.
    pub fn drive(&self) -> Option<&Drive> {
        match &self.phase {
            Phase::Resting { drive, .. } => drive.as_ref().map(|(drive, _)| &**drive),
            Phase::Driving { drive, .. } => Some(drive),
            Phase::Recalled => None,
        }
    }

    /// The route it waits for, if it does: the answer goes to [`Vehicle::set_plan`].
    pub fn wanted(&self) -> Option<Wanted> {
        match (&self.order, &self.phase) {
            (Some(order), _) => Some(order.clone()),
            (None, Phase::Resting { drive: None, .. }) => Some(self.next_drive()),
            _ => None,
        }
    }

    fn next_drive(&self) -> Wanted {
        Wanted {
            from: self.location,
            lead: Vec::new(),
            to: self.trip.destination,
            driver: self.driver,
            departure: Departure {
                driven_s: self.driven_s,
                duty: self.world.duty,
                ..Departure::default()
            },
        }
    }

    /// Takes the answer to [`Vehicle::wanted`]. Without a route it will want to go somewhere else; an order that has
    /// none is forgotten.
    pub fn set_plan(&mut self, planned: Option<Planned>) {
        if let Some(order) = self.order.take() {
            match planned {
                Some(planned) => self.obey(order, planned),
                None => self.recalled = matches!(self.phase, Phase::Recalled),
            }
            return;
        }
        let Phase::Resting { drive, .. } = &mut self.phase else {
            return;
        };
        match planned {
            Some(planned) => *drive = Some(planned),
            None => self.trip.destination = self.next_trip().destination,
        }
    }

    /// Gives it something else to do, from where it is: then it waits for a route.
    ///
    /// # Errors
    /// Why it can't.
    pub fn order(&mut self, command: &Command) -> Result<(), String> {
        if self.order.is_some() {
            return Err("it is busy with the command before".to_owned());
        }
        let world = Arc::clone(&self.world);
        let component = &world.map.components[self.component];
        let to = match command {
            Command::Go { destination } => match world.nearest(component, *destination) {
                Some((distance_m, place)) if distance_m <= NEAR_M => place,
                _ => {
                    return Err(format!(
                        "no place that it can drive to is within {NEAR_M} m of there"
                    ));
                }
            },
            Command::Recall => depot(component, self.company),
        };
        self.recalled = matches!(command, Command::Recall);
        self.order = Some(match &self.phase {
            Phase::Driving {
                elapsed_s, drive, ..
            } if *elapsed_s < drive.seconds() => {
                let lead = drive.lead(&world.map, *elapsed_s);
                Wanted {
                    from: lead.from,
                    lead: lead.legs,
                    to,
                    driver: self.driver,
                    departure: Departure {
                        speed_mps: lead.speed_mps,
                        behind_m: lead.behind_m,
                        driven_s: drive.driven_s(*elapsed_s),
                        duty: world.duty,
                    },
                }
            }
            phase => {
                if let Phase::Driving { drive, end, .. } = phase {
                    self.location = *end;
                    self.driven_s = drive.driven_s(drive.seconds());
                }
                let mut wanted = self.next_drive();
                wanted.to = to;
                wanted
            }
        });
        Ok(())
    }

    /// Sets off at once, with whoever is on board.
    fn obey(&mut self, wanted: Wanted, (drive, end): Planned) {
        self.trip = Trip {
            number: self.trip.number + 1,
            destination: wanted.to,
            rest_s: 0.0,
            ..self.trip.clone()
        };
        self.fix = drive.at(0.0);
        self.phase = Phase::Driving {
            elapsed_s: 0.0,
            wanted,
            drive,
            end,
        };
    }

    /// Lets `seconds` pass; false when it waits for a route that it needs first. Then no time has passed, and the call
    /// must be repeated when the route is there: what is left of the time passes then.
    ///
    /// A step ends where the drive does, so that one position is that of the arrival. What is left of it passes in the
    /// next.
    #[must_use = "a vehicle that waits has not moved"]
    pub fn step(&mut self, seconds: f64) -> bool {
        if self.order.is_some() {
            return false;
        }
        if !self.held {
            self.due_s += seconds;
        }
        self.held = false;
        if let Phase::Driving {
            elapsed_s,
            drive,
            end,
            ..
        } = &self.phase
            && *elapsed_s >= drive.seconds()
        {
            self.driven_s = drive.driven_s(*elapsed_s);
            self.location = *end;
            self.arrive();
        }
        if let Phase::Resting { left_s, drive } = &mut self.phase {
            let rested_s = left_s.min(self.due_s);
            *left_s -= rested_s;
            self.due_s -= rested_s;
            self.clock_s += rested_s;
            if *left_s > 0.0 {
                return true;
            }
            let Some((drive, end)) = drive.take() else {
                self.held = true;
                return false;
            };
            let wanted = self.next_drive();
            self.phase = Phase::Driving {
                elapsed_s: 0.0,
                wanted,
                drive,
                end,
            };
        }
        match &mut self.phase {
            Phase::Driving {
                elapsed_s, drive, ..
            } => {
                let driven_s = (drive.seconds() - *elapsed_s).min(self.due_s);
                *elapsed_s += driven_s;
                self.due_s -= driven_s;
                self.clock_s += driven_s;
                // The last fraction of a nanosecond must not keep it from arriving.
                if self.due_s > 0.0 {
                    *elapsed_s = drive.seconds();
                }
                self.fix = drive.at(*elapsed_s);
            }
            Phase::Resting { .. } | Phase::Recalled => {
                self.clock_s += self.due_s;
                self.due_s = 0.0;
            }
        }
        true
    }

    /// Lets `seconds` pass, with `plan` to answer at once what the vehicle wants to know.
    pub fn advance(
        &mut self,
        seconds: f64,
        mut plan: impl FnMut(&Wanted, &RoadMap) -> Option<Planned>,
    ) {
        /// Each search without a route is for another place; on a map on which none is found the vehicle stands.
        const SEARCHES_MAX: usize = 100;
        let world = Arc::clone(&self.world);
        let mut moved = self.step(seconds);
        for _ in 0..SEARCHES_MAX {
            let Some(wanted) = self.wanted() else {
                break;
            };
            self.set_plan(plan(&wanted, &world.map));
            moved = moved || self.step(seconds);
        }
    }

    fn arrive(&mut self) {
        if self.recalled {
            self.phase = Phase::Recalled;
            return;
        }
        self.trip = self.next_trip();
        if let Some(duty) = self.world.duty
            && self.trip.rest_s >= duty.break_s
        {
            self.driven_s = 0.0;
        }
        self.phase = Phase::Resting {
            left_s: self.trip.rest_s,
            drive: None,
        };
    }

    fn next_trip(&mut self) -> Trip {
        let dispatch = self.world.dispatch(self.component, self.clock_s);
        dispatch.after(&self.trip, self.fix.position, &mut self.rng)
    }

    /// Seconds until its trip ends, breaks and the rest before it included.
    pub fn eta_s(&self) -> f64 {
        /// A guess, for the moment in which the route is being searched: streets wind, and are slower than the fastest.
        const CROW_SHARE: f64 = 0.4;
        match &self.phase {
            Phase::Resting {
                left_s,
                drive: Some((drive, _)),
            } => left_s + drive.seconds(),
            Phase::Resting {
                left_s,
                drive: None,
            } => {
                let crow_m = self.fix.position.distance_m(self.destination());
                left_s + crow_m / (self.world.map.speed_max_mps * CROW_SHARE)
            }
            Phase::Driving { .. } => self.fix.left_s,
            Phase::Recalled => 0.0,
        }
    }

    /// The next position to publish: its number is one more than that of the one before.
    pub fn next_position(&mut self, now_ms: u64) -> Position {
        self.sequence += 1;
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
            destination: rounded(self.destination()),
            eta_seconds: tenths(self.eta_s()),
            sequence: self.sequence,
            speed_limit: None,
        }
    }
}

/// A stream of its own, so that a vehicle does the same whatever the others do.
fn rng(world: &World, index: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(world.seed);
    rng.set_stream(u64::from(index));
    rng
}

/// What never changes about a vehicle: the first that its random numbers decide.
fn character(world: &World, rng: &mut ChaCha8Rng) -> (Driver, &'static Company, usize) {
    let driver = Driver::new(world.kind, rng.random_range(0.85..=1.0));
    let companies = &identity::companies_of(world.kind)[..world.companies];
    let company = &companies[company_index(companies.len(), rng)];
    (driver, company, component_index(&world.map, rng))
}

/// The first companies are the larger ones: the smaller of two throws.
fn company_index(companies: usize, rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..companies)
        .min(rng.random_range(0..companies))
}

/// Where the vehicles of a company come home to: a place of its own in each part of the network.
fn depot(component: &crate::map::Component, company: &Company) -> crate::map::Place {
    let number = company.name.bytes().fold(7_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    component.places[number % component.places.len()]
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
pub(crate) fn tenths(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// To the centimetre, as maps are.
pub(crate) fn rounded(p: LatLng) -> LatLng {
    let round = |degrees: f64| (degrees * 1e7).round() / 1e7;
    LatLng::new(round(p.lat), round(p.lng))
}
