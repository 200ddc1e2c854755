//! A part of a total: what one partition of the positions adds to it.

use serde::{Deserialize, Serialize};

/// What some vehicles add up to. Parts add up to a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many.
    pub vehicles: u64,
    /// Of those, the ones that carry somebody or something.
    pub hired: u64,
    /// On board of all of them.
    pub passengers: u64,
    /// Their speeds, metres per hour.
    pub speed_m_per_h: u128,
    /// Milliseconds since the Unix epoch: the newest position of them.
    pub newest_ms: u64,
}

impl Part {
    /// Adds another part.
    pub fn add(&mut self, other: &Self) {
        self.vehicles += other.vehicles;
        self.hired += other.hired;
        self.passengers += other.passengers;
        self.speed_m_per_h += other.speed_m_per_h;
        self.newest_ms = self.newest_ms.max(other.newest_ms);
    }

    /// km/h, the mean of the speeds.
    pub fn mean_speed(&self) -> f64 {
        mean_kmh(self.speed_m_per_h, self.vehicles)
    }
}

/// km/h to a hundredth: more digits would only make the payload longer.
#[expect(
    clippy::cast_precision_loss,
    reason = "a mean needs no more than 52 bits"
)]
pub(crate) fn mean_kmh(sum_m_per_h: u128, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    (sum_m_per_h as f64 / count as f64 / 10.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let mut total = Part {
            vehicles: 1,
            hired: 1,
            passengers: 2,
            speed_m_per_h: 12_340,
            newest_ms: 9,
        };
        total.add(&Part {
            vehicles: 2,
            hired: 0,
            passengers: 1,
            speed_m_per_h: 20_000,
            newest_ms: 7,
        });
        assert_eq!((total.vehicles, total.hired, total.passengers), (3, 1, 3));
        assert_eq!((total.mean_speed(), total.newest_ms), (10.78, 9));
        assert_eq!(Part::default().mean_speed(), 0.0);
    }
}
