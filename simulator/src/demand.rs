//! When people want a taxi, and where they go: by the hour of the simulated clock.

use serde::Deserialize;

/// How a fleet is asked for over the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// As people live: little at night, most before and after work.
    #[default]
    City,
    /// The same at all hours.
    Steady,
}

/// What the demand is in one hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hour {
    /// The share of the longest rest that a vehicle waits for its next trip at most, (0, 1].
    pub wait: f64,
    /// The share of trips that go to a place with a name, rather than to a street corner where somebody lives: [0, 1].
    pub named: f64,
}

impl Demand {
    /// The demand so many seconds after midnight of the first day.
    pub fn at(self, clock_s: f64) -> Hour {
        match self {
            Self::City => CITY[(clock_s / 3_600.0).rem_euclid(24.0) as usize % 24],
            Self::Steady => hour(1.0, 0.5),
        }
    }
}

const fn hour(wait: f64, named: f64) -> Hour {
    Hour { wait, named }
}

/// From midnight on. A guess at the habits of a large city.
const CITY: [Hour; 24] = [
    hour(0.7, 0.2),
    hour(0.8, 0.2),
    hour(0.9, 0.2),
    hour(1.0, 0.2),
    hour(1.0, 0.3),
    hour(0.9, 0.5),
    hour(0.6, 0.7),
    hour(0.4, 0.8),
    hour(0.3, 0.8),
    hour(0.4, 0.8),
    hour(0.5, 0.7),
    hour(0.5, 0.7),
    hour(0.5, 0.7),
    hour(0.5, 0.7),
    hour(0.5, 0.6),
    hour(0.5, 0.6),
    hour(0.4, 0.5),
    hour(0.3, 0.5),
    hour(0.3, 0.5),
    hour(0.4, 0.7),
    hour(0.4, 0.7),
    hour(0.5, 0.5),
    hour(0.5, 0.4),
    hour(0.6, 0.3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_comes_round_again() {
        let at = |hours: f64| Demand::City.at(hours * 3_600.0);
        assert_eq!(at(8.5), hour(0.3, 0.8));
        assert_eq!(at(8.5), at(8.5 + 72.0));
        assert_eq!(at(23.999), CITY[23]);
        assert!(at(4.0).wait > at(8.0).wait, "nights are quiet");
        assert_eq!(Demand::Steady.at(0.0), Demand::Steady.at(50_000.0));
        assert!(
            CITY.iter()
                .all(|h| h.wait > 0.0 && h.wait <= 1.0 && h.named <= 1.0)
        );
    }
}
