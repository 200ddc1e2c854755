//! Totals by company.

use fleet::CompanyTotal;

use super::Vehicle;
use super::part::Part;
use super::sums::Sums;

/// The sums of all companies.
#[derive(Debug, Default)]
pub struct Companies(pub Sums<String>);

impl Companies {
    /// Counts a vehicle.
    pub fn add(&mut self, vehicle: &Vehicle) {
        self.0.add(&vehicle.company, vehicle);
    }

    /// Takes it back.
    pub fn remove(&mut self, vehicle: &Vehicle) {
        self.0.remove(&vehicle.company, vehicle);
    }
}

/// What is published of a company.
pub fn total(company: &str, sum: &Part) -> CompanyTotal {
    CompanyTotal {
        company: company.to_owned(),
        vehicles: sum.vehicles,
        hired: sum.hired,
        passengers: sum.passengers,
        mean_speed: sum.mean_speed(),
        update_timestamp: sum.newest_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;

    #[test]
    fn a_total_is_what_its_vehicles_add_up_to() {
        let mut companies = Companies::default();
        let first = sample();
        let second = Vehicle {
            passengers: 0,
            hired: false,
            speed_m_per_h: 0,
            timestamp_ms: first.timestamp_ms + 1,
            ..sample()
        };
        companies.add(&first);
        companies.add(&second);
        let company = first.company.clone();
        let sum = companies.0.part(&company).unwrap();
        assert_eq!(
            total(&company, &sum),
            CompanyTotal {
                company: "Meridian Taxi".into(),
                vehicles: 2,
                hired: 1,
                passengers: 2,
                mean_speed: 19.25,
                update_timestamp: second.timestamp_ms,
            }
        );
        companies.remove(&first);
        companies.remove(&second);
        assert_eq!(companies.0.part(&company), None);
    }
}
