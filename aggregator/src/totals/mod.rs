//! What vehicles add up to. Each total is one pure file in which a vehicle can be added and taken away again exactly.

pub mod cell;
pub mod company;
pub mod direction;
pub mod map;
pub mod minute;
pub mod part;
pub mod sums;

use fleet::{Cell, Direction, Kind, LatLng, Position};
use serde::{Deserialize, Serialize};

/// Slower than this a vehicle stands, in metres per hour: a receiver's noise is no movement. A guess.
pub const STANDING_M_PER_H: u64 = 1_000;

/// The longest colour and the longest name of a shape, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// What the totals need of a vehicle's position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vehicle {
    /// The company that owns it.
    pub company: String,
    /// Its colour, as CSS has it.
    pub color: String,
    /// Its shape's name.
    pub shape: String,
    /// A truck, or else a taxi.
    pub is_truck: bool,
    /// On board.
    pub passengers: u32,
    /// Whether it carries somebody or something.
    pub hired: bool,
    /// Where it is.
    pub at: LatLng,
    /// The finest cell of the totals that holds it.
    pub cell: Cell,
    /// Degrees clockwise from true north, [0, 360).
    pub bearing_deg: f64,
    /// Where it goes: from where it is to its destination; none while it stands.
    pub direction: Option<Direction>,
    /// Metres per hour: whole, so that sums stay exact however often one adds and takes away.
    pub speed_m_per_h: u64,
    /// What the road allows, if that is known.
    pub limit_m_per_h: Option<u64>,
    /// Milliseconds since the Unix epoch, by the vehicle's clock.
    pub timestamp_ms: u64,
}

impl Vehicle {
    /// What counts of a position.
    pub fn of(position: Position) -> Self {
        let speed_m_per_h = metres_per_hour(position.speed);
        let bearing_deg = position.current.bearing_deg(position.destination);
        let is_moving = speed_m_per_h >= STANDING_M_PER_H;
        Self {
            company: position.company_name,
            color: short(position.company_color),
            shape: short(position.company_shape),
            is_truck: position.kind == Kind::Truck,
            passengers: position.passengers,
            hired: position.is_hired,
            at: position.current,
            cell: Cell::holding(position.current, cell::CHARS_MAX),
            bearing_deg: position.bearing,
            direction: is_moving.then(|| Direction::of_bearing(bearing_deg)),
            speed_m_per_h,
            limit_m_per_h: position.speed_limit.map(metres_per_hour),
            timestamp_ms: position.update_timestamp,
        }
    }

    /// Whether it stands.
    pub fn is_standing(&self) -> bool {
        self.speed_m_per_h < STANDING_M_PER_H
    }
}

/// Nothing for a text that is too long: anybody may send one, and it is kept and sent on.
fn short(text: String) -> String {
    match text.len() {
        0..=TEXT_BYTES_MAX => text,
        _ => String::new(),
    }
}

/// From km/h, which a checked position has finite and at least 0; a speed beyond all bounds becomes the largest number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
fn metres_per_hour(speed: f64) -> u64 {
    (speed * 1000.0).round() as u64
}

/// To km/h.
#[expect(
    clippy::cast_precision_loss,
    reason = "a speed needs no more than 52 bits"
)]
pub(crate) fn kmh(m_per_h: u64) -> f64 {
    m_per_h as f64 / 1000.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../../crates/fleet/samples/vehicle_update.json");

    /// The sample's vehicle: Meridian Taxi's, in dr5ru7, to the north-east.
    pub(crate) fn sample() -> Vehicle {
        Vehicle::of(Position::from_json(SAMPLE).unwrap())
    }

    #[test]
    fn a_vehicle_goes_where_its_destination_is_unless_it_stands() {
        let mut position = Position::from_json(SAMPLE).unwrap();
        // It may drive another way for a while.
        position.bearing = 200.0;
        assert_eq!(sample().direction, Some(Direction::NorthEast));
        assert_eq!(
            Vehicle::of(position.clone()).direction,
            Some(Direction::NorthEast)
        );
        position.destination = LatLng::new(40.7, -74.0);
        assert_eq!(
            Vehicle::of(position.clone()).direction,
            Some(Direction::SouthWest)
        );
        position.speed = 0.9;
        let standing = Vehicle::of(position);
        assert_eq!(standing.direction, None);
        assert!(standing.is_standing());
    }
}
