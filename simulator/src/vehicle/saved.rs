//! A vehicle at rest in a file: all that decides what it does next. Drives are left out, since the same question has
//! the same answer when it is asked again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Phase, Vehicle, character, rng};
use crate::identity;
use crate::map::{Location, Place, RoadId};
use crate::motion::{Departure, Driver, Fix};
use crate::route::Leg;
use crate::trip::Trip;
use crate::world::{Wanted, World};

/// A vehicle as it was at one moment. An order whose route is still being searched is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Its number in the fleet.
    pub index: u32,
    rng_position: u128,
    location: At,
    trip: Trip,
    phase: SavedPhase,
    fix: Fix,
    sequence: u64,
    clock_s: f64,
    due_s: f64,
    held: bool,
    driven_s: f64,
    recalled: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum SavedPhase {
    Resting { left_s: f64 },
    Driving { elapsed_s: f64, wanted: SavedWanted },
    Recalled,
}

/// A road, and metres from its start.
type At = (u32, f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedWanted {
    from: At,
    /// Road, from and to.
    lead: Vec<(u32, f64, f64)>,
    to: Place,
    driver: Driver,
    departure: Departure,
}

impl Vehicle {
    /// What has to be kept of it.
    pub fn save(&self) -> Saved {
        Saved {
            index: self.index,
            rng_position: self.rng.get_word_pos(),
            location: at(self.location),
            trip: self.trip.clone(),
            phase: match &self.phase {
                Phase::Resting { left_s, .. } => SavedPhase::Resting { left_s: *left_s },
                Phase::Driving {
                    elapsed_s, wanted, ..
                } => SavedPhase::Driving {
                    elapsed_s: *elapsed_s,
                    wanted: wanted.into(),
                },
                Phase::Recalled => SavedPhase::Recalled,
            },
            fix: self.fix,
            sequence: self.sequence,
            clock_s: self.clock_s,
            due_s: self.due_s,
            held: self.held,
            driven_s: self.driven_s,
            recalled: self.recalled,
        }
    }

    /// A vehicle as it was, in the world in which it was saved. Its positions go on from the one saved, or from
    /// `sequence` where that is later. Nothing when its route can't be found again.
    pub fn restore(world: Arc<World>, saved: Saved, sequence: u64) -> Option<Self> {
        let mut rng = rng(&world, saved.index);
        let (driver, company, component) = character(&world, &mut rng);
        rng.set_word_pos(saved.rng_position);
        let phase = match saved.phase {
            SavedPhase::Resting { left_s } => Phase::Resting {
                left_s,
                drive: None,
            },
            SavedPhase::Driving { elapsed_s, wanted } => {
                let wanted = Wanted::from(wanted);
                let (drive, end) = wanted.plan(&world.map)?;
                Phase::Driving {
                    elapsed_s,
                    wanted,
                    drive,
                    end,
                }
            }
            SavedPhase::Recalled => Phase::Recalled,
        };
        Some(Self {
            index: saved.index,
            plate: identity::plate(world.kind, saved.index),
            company,
            component,
            driver,
            rng,
            location: location(saved.location),
            trip: saved.trip,
            phase,
            fix: saved.fix,
            sequence: saved.sequence.max(sequence),
            clock_s: saved.clock_s,
            due_s: saved.due_s,
            held: saved.held,
            driven_s: saved.driven_s,
            order: None,
            recalled: saved.recalled,
            world,
        })
    }
}

fn at(location: Location) -> At {
    (location.road.index() as u32, location.at_m)
}

fn location((road, at_m): At) -> Location {
    Location {
        road: RoadId::new(road as usize),
        at_m,
    }
}

impl From<&Wanted> for SavedWanted {
    fn from(wanted: &Wanted) -> Self {
        let leg = |leg: &Leg| (leg.road.index() as u32, leg.from_m, leg.to_m);
        Self {
            from: at(wanted.from),
            lead: wanted.lead.iter().map(leg).collect(),
            to: wanted.to,
            driver: wanted.driver,
            departure: wanted.departure,
        }
    }
}

impl From<SavedWanted> for Wanted {
    fn from(saved: SavedWanted) -> Self {
        let leg = |(road, from_m, to_m): (u32, f64, f64)| Leg {
            road: RoadId::new(road as usize),
            from_m,
            to_m,
        };
        Self {
            from: location(saved.from),
            lead: saved.lead.into_iter().map(leg).collect(),
            to: saved.to,
            driver: saved.driver,
            departure: saved.departure,
        }
    }
}
