//! Which vehicles are in which cell of the map, for its frames.

use std::collections::{BTreeMap, BTreeSet};

use fleet::frame::{Frame, FrameVehicle, flags};
use fleet::{AlertKind, Cell, Plate};

use super::{Vehicle, kmh};
use crate::alerts::Alerts;

/// Characters of the geohashes that have frames: 4.9 km × 4.9 km at the equator, a screen at the zoom of a city.
pub const CHARS: usize = 5;

/// A clock that is ahead of Kafka's by more is wrong: the vehicle counts as seen when Kafka says so. A guess.
const AHEAD_MS_MAX: u64 = 60_000;

/// The plates in each cell.
#[derive(Debug, Default)]
pub struct Map {
    cells: BTreeMap<Cell, BTreeSet<Plate>>,
    changed: BTreeSet<Cell>,
}

impl Map {
    /// Puts a vehicle on the map.
    pub fn add(&mut self, plate: &Plate, vehicle: &Vehicle) {
        let cell = vehicle.cell.around(CHARS);
        let plates = self.cells.entry(cell).or_default();
        if !plates.contains(plate) {
            plates.insert(plate.clone());
        }
        self.changed.insert(cell);
    }

    /// Takes a vehicle from the map.
    pub fn remove(&mut self, plate: &Plate, vehicle: &Vehicle) {
        let cell = vehicle.cell.around(CHARS);
        if let Some(plates) = self.cells.get_mut(&cell) {
            plates.remove(plate);
            if plates.is_empty() {
                self.cells.remove(&cell);
            }
        }
        self.changed.insert(cell);
    }

    /// A vehicle has moved.
    pub fn moved(&mut self, plate: &Plate, before: &Vehicle, now: &Vehicle) {
        if before.cell.around(CHARS) != now.cell.around(CHARS) {
            self.remove(plate, before);
        }
        self.add(plate, now);
    }

    /// The cells that changed since [`Map::told`], with their vehicles; none: there is no more vehicle in it.
    pub fn changed(&self) -> impl Iterator<Item = (Cell, Option<&BTreeSet<Plate>>)> {
        let with_plates = |cell: &Cell| (*cell, self.cells.get(cell));
        self.changed.iter().map(with_plates)
    }

    /// Whoever must know of the changes does.
    pub fn told(&mut self) {
        self.changed.clear();
    }
}

/// Adds a vehicle to a frame. `seen_ms` is when Kafka got its position.
pub fn list(frame: &mut Frame, plate: &Plate, vehicle: &Vehicle, alerts: &Alerts, seen_ms: u64) {
    let set = |is_so: bool, flag: u8| if is_so { flag } else { 0 };
    let company = frame.company(&vehicle.company, &vehicle.color, &vehicle.shape);
    frame.total += 1;
    frame.vehicles.push(FrameVehicle {
        plate: plate.clone(),
        at: vehicle.at,
        bearing_deg: vehicle.bearing_deg,
        speed_kmh: kmh(vehicle.speed_m_per_h),
        timestamp_ms: vehicle.timestamp_ms.min(seen_ms + AHEAD_MS_MAX),
        company,
        flags: set(vehicle.hired, flags::HIRED)
            | set(vehicle.is_truck, flags::TRUCK)
            | set(alerts.is_on(AlertKind::Stopped), flags::STOPPED)
            | set(alerts.is_on(AlertKind::Speeding), flags::SPEEDING),
        passengers: u8::try_from(vehicle.passengers).unwrap_or(u8::MAX),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;

    fn changed(map: &mut Map) -> Vec<(String, usize)> {
        let changed = map
            .changed()
            .map(|(cell, plates)| (cell.to_string(), plates.map_or(0, BTreeSet::len)))
            .collect();
        map.told();
        changed
    }

    #[test]
    fn a_vehicle_is_in_one_cell_and_leaves_the_one_it_was_in() {
        let mut map = Map::default();
        let plate: Plate = "T1A23".parse().unwrap();
        let here = sample();
        let there = Vehicle {
            cell: "dr5rs1".parse().unwrap(),
            ..sample()
        };
        map.add(&plate, &here);
        map.moved(&plate, &here, &here);
        assert_eq!(changed(&mut map), [("dr5ru".to_owned(), 1)]);
        map.moved(&plate, &here, &there);
        assert_eq!(
            changed(&mut map),
            [("dr5rs".to_owned(), 1), ("dr5ru".to_owned(), 0)]
        );
        map.remove(&plate, &there);
        assert_eq!(changed(&mut map), [("dr5rs".to_owned(), 0)]);
        assert_eq!(changed(&mut map), []);
    }

    #[test]
    fn a_clock_far_ahead_is_not_believed() {
        let mut frame = Frame::default();
        let vehicle = sample();
        let seen_ms = vehicle.timestamp_ms - 2 * AHEAD_MS_MAX;
        let plate = "T1A23".parse().unwrap();
        list(&mut frame, &plate, &vehicle, &Alerts::default(), seen_ms);
        assert_eq!(frame.vehicles[0].timestamp_ms, seen_ms + AHEAD_MS_MAX);
        assert_eq!(frame.vehicles[0].flags, flags::HIRED);
    }
}
