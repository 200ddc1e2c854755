//! Totals by company.

use std::collections::{BTreeMap, BTreeSet};

use fleet::CompanyTotal;

use super::Vehicle;

/// The totals of all companies, and which of them nobody has been told of yet.
#[derive(Debug, Default)]
pub struct Companies {
    sums: BTreeMap<String, Sum>,
    changed: BTreeSet<String>,
}

/// All fields can be taken away from again without a rest.
#[derive(Debug, Default)]
struct Sum {
    vehicles: u64,
    hired: u64,
    passengers: u64,
    speed_m_per_h: u128,
    /// How many vehicles have this as the time of their newest position: the newest of all is the last key.
    timestamps: BTreeMap<u64, u64>,
}

impl Companies {
    /// Counts a vehicle.
    pub fn add(&mut self, vehicle: &Vehicle) {
        let sum = match self.sums.get_mut(&vehicle.company) {
            Some(sum) => sum,
            None => self.sums.entry(vehicle.company.clone()).or_default(),
        };
        sum.vehicles += 1;
        sum.hired += u64::from(vehicle.hired);
        sum.passengers += u64::from(vehicle.passengers);
        sum.speed_m_per_h += u128::from(vehicle.speed_m_per_h);
        *sum.timestamps.entry(vehicle.timestamp_ms).or_default() += 1;
        self.mark_changed(&vehicle.company);
    }

    /// Takes back what [`Companies::add`] counted for this vehicle.
    ///
    /// # Panics
    /// When it was not counted, which would be a fault of ours.
    pub fn remove(&mut self, vehicle: &Vehicle) {
        let sum = self
            .sums
            .get_mut(&vehicle.company)
            .expect("a counted vehicle's company has a sum");
        sum.vehicles -= 1;
        sum.hired -= u64::from(vehicle.hired);
        sum.passengers -= u64::from(vehicle.passengers);
        sum.speed_m_per_h -= u128::from(vehicle.speed_m_per_h);
        let same_time = sum
            .timestamps
            .get_mut(&vehicle.timestamp_ms)
            .expect("a counted vehicle's time is counted");
        *same_time -= 1;
        if *same_time == 0 {
            sum.timestamps.remove(&vehicle.timestamp_ms);
        }
        if sum.vehicles == 0 {
            self.sums.remove(&vehicle.company);
        }
        self.mark_changed(&vehicle.company);
    }

    /// A company's total; none when it has no vehicle.
    pub fn total(&self, company: &str) -> Option<CompanyTotal> {
        self.sums.get(company).map(|sum| sum.total(company))
    }

    /// All totals, by company.
    pub fn totals(&self) -> impl Iterator<Item = CompanyTotal> {
        self.sums.iter().map(|(company, sum)| sum.total(company))
    }

    /// The companies whose totals changed since the last call, with their totals now; none: its last vehicle is gone.
    pub fn take_changed(&mut self) -> Vec<(String, Option<CompanyTotal>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|company| {
                let total = self.total(&company);
                (company, total)
            })
            .collect()
    }

    /// Has the next [`Companies::take_changed`] return this company.
    pub fn mark_changed(&mut self, company: &str) {
        if !self.changed.contains(company) {
            self.changed.insert(company.to_owned());
        }
    }

    /// Has the next [`Companies::take_changed`] return the companies whose totals differ from what is `published`, where
    /// none stands for something that is no total.
    pub fn mark_different(&mut self, published: &BTreeMap<String, Option<CompanyTotal>>) {
        self.changed = self
            .sums
            .keys()
            .chain(published.keys())
            .filter(
                |company| match (self.total(company), published.get(*company)) {
                    (Some(total), Some(Some(published))) => total != *published,
                    _ => true,
                },
            )
            .cloned()
            .collect();
    }
}

impl Sum {
    fn total(&self, company: &str) -> CompanyTotal {
        CompanyTotal {
            company: company.to_owned(),
            vehicles: self.vehicles,
            hired: self.hired,
            passengers: self.passengers,
            mean_speed: mean_kmh(self.speed_m_per_h, self.vehicles),
            update_timestamp: self.timestamps.keys().next_back().copied().unwrap_or(0),
        }
    }
}

/// km/h to a hundredth: more digits would only make the payload longer.
#[expect(
    clippy::cast_precision_loss,
    reason = "a mean needs no more than 52 bits"
)]
fn mean_kmh(sum_m_per_h: u128, vehicles: u64) -> f64 {
    if vehicles == 0 {
        return 0.0;
    }
    (sum_m_per_h as f64 / vehicles as f64 / 10.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vehicle(company: &str, passengers: u32, speed_m_per_h: u64, timestamp_ms: u64) -> Vehicle {
        Vehicle {
            company: company.into(),
            passengers,
            hired: passengers > 0,
            speed_m_per_h,
            timestamp_ms,
        }
    }

    #[test]
    fn a_total_is_what_its_vehicles_add_up_to() {
        let mut companies = Companies::default();
        companies.add(&vehicle("Ada", 2, 30_000, 7));
        companies.add(&vehicle("Ada", 0, 0, 9));
        companies.add(&vehicle("Bee", 1, 12_345, 8));
        assert_eq!(
            companies.total("Ada"),
            Some(CompanyTotal {
                company: "Ada".into(),
                vehicles: 2,
                hired: 1,
                passengers: 2,
                mean_speed: 15.0,
                update_timestamp: 9,
            })
        );
        assert_eq!(companies.total("Bee").unwrap().mean_speed, 12.35);
        assert_eq!(companies.total("Cee"), None);
    }

    #[test]
    fn each_change_is_told_once_and_an_empty_company_as_nothing() {
        let mut companies = Companies::default();
        let ada = vehicle("Ada", 2, 30_000, 7);
        companies.add(&ada);
        companies.add(&vehicle("Bee", 1, 1, 8));
        let changed = companies.take_changed();
        assert_eq!(changed.len(), 2);
        assert_eq!(changed[0], ("Ada".into(), companies.total("Ada")));
        assert_eq!(companies.take_changed(), []);
        companies.remove(&ada);
        assert_eq!(companies.take_changed(), [("Ada".into(), None)]);
    }

    #[test]
    fn only_what_differs_from_the_published_totals_is_told_again() {
        let mut companies = Companies::default();
        for company in ["same", "other", "new"] {
            companies.add(&vehicle(company, 1, 1, 1));
        }
        let mut outdated = companies.total("other").unwrap();
        outdated.passengers = 9;
        let published = BTreeMap::from([
            ("same".into(), companies.total("same")),
            ("other".into(), Some(outdated)),
            ("gone".into(), companies.total("same")),
            ("nonsense".into(), None),
        ]);
        companies.mark_different(&published);
        assert_eq!(
            companies.take_changed(),
            [
                ("gone".into(), None),
                ("new".into(), companies.total("new")),
                ("nonsense".into(), None),
                ("other".into(), companies.total("other")),
            ]
        );
    }

    fn any_vehicle() -> impl Strategy<Value = Vehicle> {
        (
            prop::sample::select(vec!["Ada", "Bee", "Cee"]),
            any::<u32>(),
            any::<u64>(),
            0..4_u64,
        )
            .prop_map(|(company, passengers, speed, time)| {
                vehicle(company, passengers, speed, time)
            })
    }

    proptest! {
        /// Plate by plate: a new state (which may move it to another company), or a removal.
        #[test]
        fn totals_equal_a_recount_after_any_updates(
            updates in prop::collection::vec((0..8_u8, prop::option::of(any_vehicle())), 0..200)
        ) {
            let mut companies = Companies::default();
            let mut newest: BTreeMap<u8, Vehicle> = BTreeMap::new();
            for (plate, update) in updates {
                let before = match update {
                    Some(vehicle) => {
                        companies.add(&vehicle);
                        newest.insert(plate, vehicle)
                    }
                    None => newest.remove(&plate),
                };
                if let Some(before) = before {
                    companies.remove(&before);
                }
            }
            let mut recount = Companies::default();
            for vehicle in newest.values() {
                recount.add(vehicle);
            }
            let totals: Vec<CompanyTotal> = companies.totals().collect();
            prop_assert_eq!(&totals, &recount.totals().collect::<Vec<_>>());
            // And that recount adds up by itself, said in another way.
            for total in &totals {
                let of_company = || newest.values().filter(|v| v.company == total.company);
                prop_assert_eq!(total.vehicles, of_company().count() as u64);
                prop_assert_eq!(total.hired, of_company().filter(|v| v.hired).count() as u64);
                prop_assert_eq!(total.passengers, of_company().map(|v| u64::from(v.passengers)).sum::<u64>());
                prop_assert_eq!(Some(total.update_timestamp), of_company().map(|v| v.timestamp_ms).max());
            }
        }
    }
}
