//! What one partition of the positions says: the newest update of each plate, and what they add up to. Pure.

use std::collections::{HashMap, HashSet};

use fleet::{Alert, Plate};
use serde::{Deserialize, Serialize};

use crate::alerts::{Alerts, Changed, Limits};
use crate::totals::cell::Cells;
use crate::totals::company::Companies;
use crate::totals::direction::Directions;
use crate::totals::map::Map;
use crate::totals::minute::Minutes;
use crate::totals::{Vehicle, kmh};
use crate::update::Update;

/// A vehicle that has been silent for so long is forgotten, and its alert ends.
const FORGOTTEN_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// What is known of a vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its newest position.
    pub vehicle: Vehicle,
    /// When Kafka got it, milliseconds since the Unix epoch.
    pub seen_ms: u64,
    /// It has been silent for too long, and is in no total.
    pub is_silent: bool,
    /// Its alerts.
    pub alerts: Alerts,
}

/// What the log of one partition up to some offset says.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    vehicles: HashMap<Plate, Known>,
    changed: HashSet<Plate>,
    /// The totals by company.
    pub companies: Companies,
    /// The totals by direction.
    pub directions: Directions,
    /// The totals by cell.
    pub cells: Cells,
    /// The totals by minute.
    pub minutes: Minutes,
    /// Who is where.
    pub map: Map,
    /// Alerts that began or ended.
    alerts: Vec<Alert>,
    /// How many vehicles count.
    counted: usize,
    /// How late it is, by the newest record, or by our clock where all records have come.
    clock_ms: u64,
}

impl State {
    /// Nothing yet.
    pub fn new(limits: Limits, lateness_ms: u64) -> Self {
        Self {
            limits,
            vehicles: HashMap::new(),
            changed: HashSet::new(),
            companies: Companies::default(),
            directions: Directions::default(),
            cells: Cells::default(),
            minutes: Minutes::new(lateness_ms),
            map: Map::default(),
            alerts: Vec::new(),
            counted: 0,
            clock_ms: 0,
        }
    }

    /// Takes over what the next record says, which Kafka got at `seen_ms`: +new −old. Returns whether its minute counted
    /// it, or it has none.
    pub fn apply(&mut self, update: Update, seen_ms: u64) -> bool {
        self.clock_ms = self.clock_ms.max(seen_ms);
        match update {
            Update::Moved(plate, vehicle) => {
                let is_in_time =
                    self.minutes
                        .add(vehicle.timestamp_ms, seen_ms, vehicle.speed_m_per_h);
                self.moved(plate, vehicle, seen_ms);
                is_in_time
            }
            Update::Removed(plate) => {
                self.remove(&plate, seen_ms);
                true
            }
        }
    }

    fn moved(&mut self, plate: Plate, vehicle: Vehicle, seen_ms: u64) {
        // Before the old one is taken away, so that a company with one vehicle is not emptied in between.
        self.companies.add(&vehicle);
        self.directions.add(&vehicle);
        self.cells.add(&vehicle);
        let before = self.vehicles.remove(&plate);
        let mut alerts = Alerts::default();
        match before {
            Some(known) => {
                alerts = known.alerts;
                if known.is_silent {
                    self.counted += 1;
                    self.map.add(&plate, &vehicle);
                } else {
                    self.companies.remove(&known.vehicle);
                    self.directions.remove(&known.vehicle);
                    self.cells.remove(&known.vehicle);
                    self.map.moved(&plate, &known.vehicle, &vehicle);
                }
            }
            None => {
                self.counted += 1;
                self.map.add(&plate, &vehicle);
            }
        }
        let mut changes = Vec::new();
        alerts.moved(&vehicle, &self.limits, &mut changes);
        self.tell(&plate, &vehicle, &changes);
        self.mark_changed(&plate);
        let known = Known {
            vehicle,
            seen_ms,
            is_silent: false,
            alerts,
        };
        self.vehicles.insert(plate, known);
    }

    fn remove(&mut self, plate: &Plate, now_ms: u64) {
        let Some(mut known) = self.vehicles.remove(plate) else {
            return;
        };
        if !known.is_silent {
            self.uncount(plate, &known.vehicle);
        }
        let mut changes = Vec::new();
        known.alerts.gone(now_ms, &mut changes);
        self.tell(plate, &known.vehicle, &changes);
        self.mark_changed(plate);
    }

    /// All records have come, and by our clock it is `now_ms`.
    pub fn all_came(&mut self, now_ms: u64) {
        self.clock_ms = self.clock_ms.max(now_ms);
    }

    /// Who has been silent for too long leaves the totals.
    pub fn drop_silent(&mut self) {
        let clock_ms = self.clock_ms;
        let is_past = |seen_ms: u64, after_ms: u64| clock_ms >= seen_ms.saturating_add(after_ms);
        let silent_after_ms = self.limits.silent_after_ms;
        let due: Vec<Plate> = self
            .vehicles
            .iter()
            .filter(|(_, known)| {
                let after_ms = match known.is_silent {
                    true => FORGOTTEN_AFTER_MS.max(silent_after_ms),
                    false => silent_after_ms,
                };
                is_past(known.seen_ms, after_ms)
            })
            .map(|(plate, _)| plate.clone())
            .collect();
        for plate in due {
            let Some(mut known) = self.vehicles.remove(&plate) else {
                continue;
            };
            if known.is_silent {
                self.vehicles.insert(plate.clone(), known);
                self.remove(&plate, clock_ms);
                continue;
            }
            self.uncount(&plate, &known.vehicle);
            let mut changes = Vec::new();
            known.alerts.silent(&known.vehicle, &mut changes);
            self.tell(&plate, &known.vehicle, &changes);
            known.is_silent = true;
            self.mark_changed(&plate);
            self.vehicles.insert(plate, known);
        }
    }

    fn uncount(&mut self, plate: &Plate, vehicle: &Vehicle) {
        self.companies.remove(vehicle);
        self.directions.remove(vehicle);
        self.cells.remove(vehicle);
        self.map.remove(plate, vehicle);
        self.counted -= 1;
    }

    fn tell(&mut self, plate: &Plate, vehicle: &Vehicle, changes: &[Changed]) {
        self.alerts.extend(changes.iter().map(|changed| Alert {
            kind: changed.kind,
            plate: plate.clone(),
            company: vehicle.company.clone(),
            current: vehicle.at,
            speed: kmh(vehicle.speed_m_per_h),
            speed_limit: vehicle.limit_m_per_h.map(kmh),
            began_at: changed.began_ms,
            ended_at: changed.ended_ms,
        }));
    }

    fn mark_changed(&mut self, plate: &Plate) {
        if !self.changed.contains(plate) {
            self.changed.insert(plate.clone());
        }
    }

    /// Takes over what was stored of a vehicle. The newest that is stored comes last.
    pub fn restore(&mut self, plate: Plate, known: Option<Known>) {
        match known {
            Some(known) => self.vehicles.insert(plate, known),
            None => self.vehicles.remove(&plate),
        };
    }

    /// All that was stored is here: adds it up.
    pub fn restored(&mut self) {
        for (plate, known) in &self.vehicles {
            if !known.is_silent {
                self.companies.add(&known.vehicle);
                self.directions.add(&known.vehicle);
                self.cells.add(&known.vehicle);
                self.map.add(plate, &known.vehicle);
                self.counted += 1;
            }
        }
        self.told();
    }

    /// What is known of a vehicle.
    pub fn known(&self, plate: &Plate) -> Option<&Known> {
        self.vehicles.get(plate)
    }

    /// The vehicles that changed since [`State::told`], with what is known now; none: it is gone.
    pub fn changed(&self) -> impl Iterator<Item = (&Plate, Option<&Known>)> {
        self.changed.iter().map(|plate| (plate, self.known(plate)))
    }

    /// The alerts that began or ended since [`State::told`], in order.
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// Whoever must know of the changes does.
    pub fn told(&mut self) {
        self.changed.clear();
        self.alerts.clear();
        self.companies.0.told();
        self.directions.0.told();
        self.cells.0.told();
        self.minutes.told();
        self.map.told();
    }

    /// How many vehicles count.
    pub fn counted(&self) -> usize {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;

    const LIMITS: Limits = Limits {
        silent_after_ms: 1_000,
        stopped_after_ms: 60_000,
    };

    fn moved(plate: &str, company: &str, passengers: u32) -> Update {
        Update::Moved(
            plate.parse().unwrap(),
            Vehicle {
                company: company.into(),
                passengers,
                ..sample()
            },
        )
    }

    /// Vehicles and passengers of a company.
    fn company(state: &State, company: &str) -> Option<(u64, u64)> {
        let sum = state.companies.0.part(&company.to_owned())?;
        Some((sum.vehicles, sum.passengers))
    }

    #[test]
    fn only_the_newest_update_of_a_plate_counts() {
        let mut state = State::new(LIMITS, 0);
        state.apply(moved("A1", "Ada", 1), 0);
        state.apply(moved("A2", "Ada", 1), 0);
        state.apply(moved("A1", "Ada", 4), 0);
        assert_eq!(company(&state, "Ada"), Some((2, 5)));

        state.apply(moved("A1", "Bee", 2), 0);
        assert_eq!(company(&state, "Ada"), Some((1, 1)));
        assert_eq!(company(&state, "Bee"), Some((1, 2)));

        for _twice in 0..2 {
            state.apply(Update::Removed("A1".parse().unwrap()), 0);
            assert_eq!(company(&state, "Bee"), None);
            assert_eq!(state.counted(), 1);
        }
    }

    #[test]
    fn a_silent_vehicle_leaves_all_totals_and_comes_back() {
        let mut state = State::new(LIMITS, 0);
        state.apply(moved("A1", "Ada", 1), 5_000);
        state.apply(moved("A2", "Ada", 1), 5_500);
        state.told();
        // No record says that it is later, and not all have come.
        state.drop_silent();
        assert_eq!(state.changed().count(), 0);

        state.all_came(6_400);
        state.drop_silent();
        state.drop_silent();
        assert_eq!(company(&state, "Ada"), Some((1, 1)));
        assert_eq!(state.counted(), 1);
        let kinds: Vec<&str> = state.alerts().iter().map(|a| a.kind.as_str()).collect();
        assert_eq!(kinds, ["offline"]);
        let (_, plates) = state.map.changed().next().unwrap();
        assert_eq!(plates.unwrap().len(), 1);
        state.told();

        state.apply(moved("A1", "Ada", 3), 6_500);
        assert_eq!(company(&state, "Ada"), Some((2, 4)));
        assert!(state.alerts()[0].ended_at.is_some());

        // Another is removed while it is silent, and one is forgotten.
        state.all_came(9_000);
        state.drop_silent();
        assert_eq!((company(&state, "Ada"), state.counted()), (None, 0));
        state.apply(Update::Removed("A1".parse().unwrap()), 9_000);
        state.all_came(9_000 + FORGOTTEN_AFTER_MS);
        state.told();
        state.drop_silent();
        assert_eq!(state.changed().count(), 1);
        assert!(state.changed().all(|(_, known)| known.is_none()));
        assert!(state.alerts()[0].ended_at.is_some());
    }

    #[test]
    fn what_is_stored_restores_the_state() {
        let mut before = State::new(LIMITS, 0);
        before.apply(moved("A1", "Ada", 1), 1);
        before.apply(moved("A2", "Bee", 2), 5_000);
        before.drop_silent();
        let mut after = State::new(LIMITS, 0);
        for (plate, known) in before.changed() {
            after.restore(plate.clone(), known.cloned());
        }
        after.restored();
        assert_eq!(after.changed().count(), 0);
        assert_eq!(
            (company(&after, "Ada"), company(&after, "Bee")),
            (None, Some((1, 2)))
        );
        assert_eq!(after.counted(), 1);
        for state in [&mut before, &mut after] {
            state.apply(moved("A1", "Ada", 1), 5_001);
            state.apply(moved("A2", "Ada", 1), 5_001);
            assert_eq!(company(state, "Ada"), Some((2, 2)));
        }
    }
}
