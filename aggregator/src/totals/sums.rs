//! Sums of vehicles by some key. Adding and taking away is exact, in any order.

use std::collections::{BTreeMap, BTreeSet};

use super::Vehicle;
use super::part::Part;

/// Sums by key, and which of them changed.
#[derive(Debug)]
pub struct Sums<K> {
    sums: BTreeMap<K, Sum>,
    changed: BTreeSet<K>,
}

/// All fields can be taken away from again without a rest.
#[derive(Debug, Default)]
struct Sum {
    part: Part,
    /// How many vehicles have this as the time of their newest position: the newest of all is the last key.
    timestamps: BTreeMap<u64, u64>,
}

impl<K> Default for Sums<K> {
    fn default() -> Self {
        Self {
            sums: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Sums<K> {
    /// Counts a vehicle.
    pub fn add(&mut self, key: &K, vehicle: &Vehicle) {
        let sum = match self.sums.get_mut(key) {
            Some(sum) => sum,
            None => self.sums.entry(key.clone()).or_default(),
        };
        sum.part.vehicles += 1;
        sum.part.hired += u64::from(vehicle.hired);
        sum.part.passengers += u64::from(vehicle.passengers);
        sum.part.speed_m_per_h += u128::from(vehicle.speed_m_per_h);
        *sum.timestamps.entry(vehicle.timestamp_ms).or_default() += 1;
        self.mark_changed(key);
    }

    /// Takes back what [`Sums::add`] counted for this vehicle.
    ///
    /// # Panics
    /// When it was not counted, which would be a fault of ours.
    pub fn remove(&mut self, key: &K, vehicle: &Vehicle) {
        let sum = self.sums.get_mut(key).expect("a counted key has a sum");
        sum.part.vehicles -= 1;
        sum.part.hired -= u64::from(vehicle.hired);
        sum.part.passengers -= u64::from(vehicle.passengers);
        sum.part.speed_m_per_h -= u128::from(vehicle.speed_m_per_h);
        let same_time = sum
            .timestamps
            .get_mut(&vehicle.timestamp_ms)
            .expect("a counted vehicle's time is counted");
        *same_time -= 1;
        if *same_time == 0 {
            sum.timestamps.remove(&vehicle.timestamp_ms);
        }
        if sum.part.vehicles == 0 {
            self.sums.remove(key);
        }
        self.mark_changed(key);
    }

    /// The sum of a key; none when it has no vehicle.
    pub fn part(&self, key: &K) -> Option<Part> {
        let sum = self.sums.get(key)?;
        let newest_ms = sum.timestamps.keys().next_back().copied();
        Some(Part {
            newest_ms: newest_ms.unwrap_or(0),
            ..sum.part
        })
    }

    /// The keys whose sums changed since [`Sums::told`], with their sums now.
    pub fn changed(&self) -> impl Iterator<Item = (&K, Option<Part>)> {
        self.changed.iter().map(|key| (key, self.part(key)))
    }

    /// Whoever must know of the changes does.
    pub fn told(&mut self) {
        self.changed.clear();
    }

    fn mark_changed(&mut self, key: &K) {
        if !self.changed.contains(key) {
            self.changed.insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;
    use proptest::prelude::*;

    fn vehicle(passengers: u32, speed_m_per_h: u64, timestamp_ms: u64) -> Vehicle {
        Vehicle {
            passengers,
            hired: passengers > 0,
            speed_m_per_h,
            timestamp_ms,
            ..sample()
        }
    }

    #[test]
    fn each_change_is_told_once_and_an_empty_key_as_nothing() {
        let mut sums = Sums::default();
        let first = vehicle(2, 30_000, 7);
        sums.add(&"a", &first);
        sums.add(&"b", &vehicle(1, 1, 8));
        let changed: Vec<_> = sums.changed().map(|(key, part)| (*key, part)).collect();
        assert_eq!(changed, [("a", sums.part(&"a")), ("b", sums.part(&"b"))]);
        sums.told();
        assert_eq!(sums.changed().count(), 0);
        sums.remove(&"a", &first);
        assert_eq!(sums.changed().next(), Some((&"a", None)));
    }

    fn any_vehicle() -> impl Strategy<Value = (char, Vehicle)> {
        let keys = prop::sample::select(vec!['a', 'b', 'c']);
        (keys, any::<u32>(), any::<u64>(), 0..4_u64)
            .prop_map(|(key, passengers, speed, time)| (key, vehicle(passengers, speed, time)))
    }

    proptest! {
        /// Plate by plate: a new state (which may move it to another key), or a removal.
        #[test]
        fn sums_equal_a_recount_after_any_updates(
            updates in prop::collection::vec((0..8_u8, prop::option::of(any_vehicle())), 0..200)
        ) {
            let mut sums = Sums::default();
            let mut newest: BTreeMap<u8, (char, Vehicle)> = BTreeMap::new();
            for (plate, update) in updates {
                let before = match update {
                    Some((key, vehicle)) => {
                        sums.add(&key, &vehicle);
                        newest.insert(plate, (key, vehicle))
                    }
                    None => newest.remove(&plate),
                };
                if let Some((key, vehicle)) = before {
                    sums.remove(&key, &vehicle);
                }
            }
            for key in ['a', 'b', 'c'] {
                let of_key = || newest.values().filter(|(of, _)| *of == key).map(|(_, v)| v);
                let expected = (of_key().count() > 0).then(|| Part {
                    vehicles: of_key().count() as u64,
                    hired: of_key().filter(|v| v.hired).count() as u64,
                    passengers: of_key().map(|v| u64::from(v.passengers)).sum(),
                    speed_m_per_h: of_key().map(|v| u128::from(v.speed_m_per_h)).sum(),
                    newest_ms: of_key().map(|v| v.timestamp_ms).max().unwrap(),
                });
                prop_assert_eq!(sums.part(&key), expected);
            }
        }
    }
}
