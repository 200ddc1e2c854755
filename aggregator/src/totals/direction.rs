//! Totals by direction of travel. Vehicles that stand are in none.

use fleet::{Direction, DirectionTotal};

use super::Vehicle;
use super::part::Part;
use super::sums::Sums;

/// The sums of the four directions.
#[derive(Debug, Default)]
pub struct Directions(pub Sums<Direction>);

impl Directions {
    /// Counts a vehicle.
    pub fn add(&mut self, vehicle: &Vehicle) {
        if let Some(direction) = &vehicle.direction {
            self.0.add(direction, vehicle);
        }
    }

    /// Takes it back.
    pub fn remove(&mut self, vehicle: &Vehicle) {
        if let Some(direction) = &vehicle.direction {
            self.0.remove(direction, vehicle);
        }
    }
}

/// What is published of a direction.
pub fn total(direction: Direction, sum: &Part) -> DirectionTotal {
    DirectionTotal {
        direction,
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
    fn who_stands_is_not_counted_and_who_stops_leaves() {
        let mut directions = Directions::default();
        let moving = sample();
        let standing = Vehicle {
            direction: None,
            ..sample()
        };
        directions.add(&moving);
        directions.add(&standing);
        let sum = directions.0.part(&Direction::NorthEast).unwrap();
        let total = total(Direction::NorthEast, &sum);
        assert_eq!((total.vehicles, total.passengers), (1, 2));
        assert_eq!(total.mean_speed, 38.5);
        directions.remove(&moving);
        directions.remove(&standing);
        assert_eq!(directions.0.part(&Direction::NorthEast), None);
    }
}
