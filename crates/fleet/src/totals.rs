//! Totals, as the aggregator publishes them: by company, by direction of travel, by map cell, by minute.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The newest totals of one company: the JSON on `fleet/company_passengers/<company>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompanyTotal {
    /// The company's name: Kafka key, last level of the MQTT topic.
    pub company: String,
    /// Vehicles that are on the road.
    pub vehicles: u64,
    /// Of those, the ones that carry somebody or something.
    pub hired: u64,
    /// Passengers on board of all of them.
    pub passengers: u64,
    /// km/h, the mean over the vehicles that are on the road; 0 when there are none.
    pub mean_speed: f64,
    /// Milliseconds since the Unix epoch: the newest position that these totals include.
    pub update_timestamp: u64,
}

/// The newest totals of the vehicles that go one way: the JSON on `fleet/direction_stats/<direction>`. Vehicles that
/// stand are in none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectionTotal {
    /// Where they go: Kafka key, last level of the MQTT topic.
    pub direction: Direction,
    /// Vehicles that go there.
    pub vehicles: u64,
    /// Of those, the ones that carry somebody or something.
    pub hired: u64,
    /// Passengers on board of all of them.
    pub passengers: u64,
    /// km/h, the mean over them.
    pub mean_speed: f64,
    /// Milliseconds since the Unix epoch: the newest position that these totals include.
    pub update_timestamp: u64,
}

/// The newest totals of one map cell: the JSON on `fleet/cell_stats/<geohash>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellTotal {
    /// The cell's geohash: Kafka key, last level of the MQTT topic.
    pub cell: String,
    /// Vehicles in it, standing ones too.
    pub vehicles: u64,
    /// Passengers on board of all of them.
    pub passengers: u64,
    /// km/h, the mean over them.
    pub mean_speed: f64,
    /// Milliseconds since the Unix epoch: the newest position that these totals include.
    pub update_timestamp: u64,
}

/// What came of one minute, by the vehicles' clocks: the JSON on `fleet/minute_stats/<minute>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinuteTotal {
    /// Its start, milliseconds since the Unix epoch: Kafka key, last level of the MQTT topic.
    pub minute: u64,
    /// Positions of that minute.
    pub messages: u64,
    /// km/h, the mean over those positions.
    pub mean_speed: f64,
}

/// A quarter of the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// From north, included, to east.
    #[serde(rename = "NE")]
    NorthEast,
    /// From east, included, to south.
    #[serde(rename = "SE")]
    SouthEast,
    /// From south, included, to west.
    #[serde(rename = "SW")]
    SouthWest,
    /// From west, included, to north.
    #[serde(rename = "NW")]
    NorthWest,
}

impl Direction {
    /// All of them, clockwise from north.
    pub const ALL: [Self; 4] = [
        Self::NorthEast,
        Self::SouthEast,
        Self::SouthWest,
        Self::NorthWest,
    ];

    /// The quarter in which a bearing lies, degrees clockwise from true north, [0, 360).
    pub fn of_bearing(bearing_deg: f64) -> Self {
        match bearing_deg {
            b if b < 90.0 => Self::NorthEast,
            b if b < 180.0 => Self::SouthEast,
            b if b < 270.0 => Self::SouthWest,
            _ => Self::NorthWest,
        }
    }

    /// `NE`, `SE`, `SW` or `NW`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NorthEast => "NE",
            Self::SouthEast => "SE",
            Self::SouthWest => "SW",
            Self::NorthWest => "NW",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|direction| direction.as_str() == text)
            .ok_or_else(|| format!("`{text}` is none of NE, SE, SW and NW"))
    }
}

/// What all totals can do.
pub trait Json: Serialize + DeserializeOwned {
    /// Reads one payload.
    ///
    /// # Errors
    /// When it isn't JSON of this form.
    fn from_json(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The payload to publish.
    ///
    /// # Panics
    /// Never: the types have no map with non-text keys and no failing serializer.
    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is plain data")
    }
}

impl Json for CompanyTotal {}
impl Json for DirectionTotal {}
impl Json for CellTotal {}
impl Json for MinuteTotal {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a golden sample and writes the same JSON.
    fn golden<T: Json>(sample: &str) -> T {
        let read = T::from_json(sample.as_bytes()).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&read.to_json()).unwrap();
        let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
        assert_eq!(written, sample);
        read
    }

    #[test]
    fn the_golden_samples_read_and_write_the_same_json() {
        let company: CompanyTotal = golden(include_str!("../samples/company_passengers.json"));
        assert_eq!(company.passengers, 31);
        let direction: DirectionTotal = golden(include_str!("../samples/direction_stats.json"));
        assert_eq!(direction.direction, Direction::NorthEast);
        let cell: CellTotal = golden(include_str!("../samples/cell_stats.json"));
        assert_eq!(cell.cell, "dr5ru7");
        let minute: MinuteTotal = golden(include_str!("../samples/minute_stats.json"));
        assert_eq!(minute.minute % 60_000, 0);
    }

    #[test]
    fn each_quarter_begins_at_its_first_bearing() {
        for (bearing, direction) in [
            (0.0, "NE"),
            (89.9, "NE"),
            (90.0, "SE"),
            (180.0, "SW"),
            (270.0, "NW"),
            (359.9, "NW"),
        ] {
            assert_eq!(Direction::of_bearing(bearing).as_str(), direction);
            assert_eq!(direction.parse(), Ok(Direction::of_bearing(bearing)));
        }
        assert!("N".parse::<Direction>().is_err());
    }
}
