//! The newest update of each plate, and what they add up to. Pure.

use std::collections::{BTreeMap, HashMap};

use fleet::Plate;

use crate::totals::Vehicle;
use crate::totals::company::Companies;
use crate::update::Update;

/// What the log up to some offset of each partition says.
#[derive(Debug, Default)]
pub struct State {
    vehicles: HashMap<Plate, Vehicle>,
    companies: Companies,
    next: BTreeMap<i32, i64>,
}

impl State {
    /// Takes over what the next record of its partition says: +new −old.
    pub fn apply(&mut self, update: Update) {
        let before = match update {
            Update::Moved(plate, vehicle) => {
                // Before the old one is taken away, so that a company with one vehicle is not emptied in between.
                self.companies.add(&vehicle);
                self.vehicles.insert(plate, vehicle)
            }
            Update::Removed(plate) => self.vehicles.remove(&plate),
        };
        if let Some(before) = before {
            self.companies.remove(&before);
        }
    }

    /// Notes that all records of `partition` before `offset` are in here.
    pub fn reached(&mut self, partition: i32, offset: i64) {
        self.next.insert(partition, offset);
    }

    /// Offset of the next record wanted from `partition`; 0 when none was read yet.
    pub fn next_offset(&self, partition: i32) -> i64 {
        self.next.get(&partition).copied().unwrap_or(0)
    }

    /// How many vehicles there are.
    pub fn vehicles(&self) -> usize {
        self.vehicles.len()
    }

    /// The totals by company.
    pub fn companies(&self) -> &Companies {
        &self.companies
    }

    /// The totals by company, to take what changed.
    pub fn companies_mut(&mut self) -> &mut Companies {
        &mut self.companies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(plate: &str, company: &str, passengers: u32) -> Update {
        Update::Moved(
            plate.parse().unwrap(),
            Vehicle {
                company: company.into(),
                passengers,
                hired: true,
                speed_m_per_h: 1,
                timestamp_ms: 1,
            },
        )
    }

    #[test]
    fn only_the_newest_update_of_a_plate_counts() {
        let mut state = State::default();
        state.apply(moved("A1", "Ada", 1));
        state.apply(moved("A2", "Ada", 1));
        state.apply(moved("A1", "Ada", 4));
        assert_eq!(state.companies().total("Ada").unwrap().passengers, 5);

        state.apply(moved("A1", "Bee", 2));
        assert_eq!(state.companies().total("Ada").unwrap().passengers, 1);
        assert_eq!(state.companies().total("Bee").unwrap().passengers, 2);

        for _twice in 0..2 {
            state.apply(Update::Removed("A1".parse().unwrap()));
            assert_eq!(state.companies().total("Bee"), None);
            assert_eq!(state.vehicles(), 1);
        }
    }
}
