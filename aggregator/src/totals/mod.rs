//! What vehicles add up to. Each total is one pure file in which a vehicle can be added and taken away again exactly.

pub mod company;

use fleet::Position;

/// What the totals need of a vehicle's position.
#[derive(Clone, Debug, PartialEq)]
pub struct Vehicle {
    /// The company that owns it.
    pub company: String,
    /// On board.
    pub passengers: u32,
    /// Whether it carries somebody or something.
    pub hired: bool,
    /// Metres per hour: whole, so that sums stay exact however often one adds and takes away.
    pub speed_m_per_h: u64,
    /// Milliseconds since the Unix epoch, by the vehicle's clock.
    pub timestamp_ms: u64,
}

impl Vehicle {
    /// What counts of a position.
    pub fn of(position: Position) -> Self {
        Self {
            company: position.company_name,
            passengers: position.passengers,
            hired: position.is_hired,
            speed_m_per_h: metres_per_hour(position.speed),
            timestamp_ms: position.update_timestamp,
        }
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
