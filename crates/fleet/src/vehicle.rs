//! A vehicle's position: the message every vehicle publishes twice a second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::LatLng;

/// The longest plate, in bytes. Plates are keys of Kafka records and levels of MQTT topics, so they stay short.
pub const PLATE_BYTES_MAX: usize = 16;

/// The longest company name, in bytes.
pub const COMPANY_BYTES_MAX: usize = 64;

/// One position of one vehicle, as it stands in JSON on `fleet/vehicle_updates/<plate>`.
///
/// Field names are those of the published taxi demo, so that its consumers work unchanged; the last seven are ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The vehicle's identity everywhere: Kafka key, last level of the MQTT topic.
    pub plate: Plate,
    /// Where it is.
    pub current: LatLng,
    /// The next vertex of its route.
    pub waypoint: LatLng,
    /// km/h, 0 when it stands.
    pub speed: f64,
    /// Whether it is among the first N vehicles, which also publish on `visible_vehicle_updates`.
    pub visible: bool,
    /// Metres to `waypoint`.
    pub distance: f64,
    /// Milliseconds since the Unix epoch, by the vehicle's clock.
    pub update_timestamp: u64,
    /// Passengers on board; 0 for a truck.
    pub passengers: u32,
    /// The company that owns it.
    pub company_name: String,
    /// A CSS colour, e.g. `#1f77b4`.
    pub company_color: String,
    /// `circle`, `square`, `triangle`, `diamond`: so that colour is never the only sign.
    pub company_shape: String,
    /// Whether it carries somebody or something.
    pub is_hired: bool,
    /// A number, as text: the published demo sends it so.
    pub id: String,
    /// Taxi or truck.
    pub kind: Kind,
    /// Direction of travel: degrees clockwise from true north, [0, 360).
    pub bearing: f64,
    /// The trip this position belongs to: `<plate>-<n>`.
    pub trip_id: String,
    /// Where the trip ends.
    pub destination: LatLng,
    /// Seconds until the trip ends, by the speeds of the roads ahead.
    pub eta_seconds: f64,
    /// Counts this vehicle's messages: +1 each, so that the newest is known whatever the order of arrival.
    pub sequence: u64,
    /// km/h, what the road allows here; where it is missing, nobody is told of speeding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_limit: Option<f64>,
}

/// What kind of vehicle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Carries people in a city.
    Taxi,
    /// Carries goods between cities.
    Truck,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "taxi" => Ok(Self::Taxi),
            "truck" => Ok(Self::Truck),
            other => Err(format!("`{other}` is neither taxi nor truck")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taxi => "taxi",
            Self::Truck => "truck",
        })
    }
}

/// The retained payload of `fleet/vehicle_status/<plate>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Published, retained, when the vehicle has connected.
    Online,
    /// The Last Will.
    Offline,
}

impl Status {
    /// The payload: plain text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// A number plate: 1 to [`PLATE_BYTES_MAX`] of `A`–`Z`, `0`–`9` and `-`, so it is safe as a topic level and as a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Plate(String);

impl Plate {
    /// The plate as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Plate {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Plate {
    type Error = InvalidPosition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=PLATE_BYTES_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidPosition::Plate)
        }
    }
}

impl From<Plate> for String {
    fn from(plate: Plate) -> Self {
        plate.0
    }
}

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a payload is not a position.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPosition {
    /// Not JSON, a field is missing or has the wrong type.
    #[error("not a position: {0}")]
    Json(#[from] serde_json::Error),
    /// The plate is empty, too long or has characters that no plate has.
    #[error("plate is not 1 to {PLATE_BYTES_MAX} of A-Z, 0-9 and -")]
    Plate,
    /// A number is not finite or out of its range.
    #[error("{0} is out of range")]
    Range(&'static str),
}

impl Position {
    /// Reads and checks one payload.
    ///
    /// # Errors
    /// When it isn't JSON of this form, or a value is out of its range.
    pub fn from_json(payload: &[u8]) -> Result<Self, InvalidPosition> {
        let position: Self = serde_json::from_slice(payload)?;
        position.check()?;
        Ok(position)
    }

    /// The payload to publish.
    ///
    /// # Panics
    /// Never: the type has no map with non-text keys and no failing serializer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a position is plain data")
    }

    fn check(&self) -> Result<(), InvalidPosition> {
        let at_least_zero = |x: f64| x.is_finite() && x >= 0.0;
        for (name, fits) in [
            ("current", self.current.is_valid()),
            ("waypoint", self.waypoint.is_valid()),
            ("destination", self.destination.is_valid()),
            ("speed", at_least_zero(self.speed)),
            ("distance", at_least_zero(self.distance)),
            ("etaSeconds", at_least_zero(self.eta_seconds)),
            ("speedLimit", self.speed_limit.is_none_or(at_least_zero)),
            ("bearing", (0.0..360.0).contains(&self.bearing)),
            ("companyName", is_company(&self.company_name)),
        ] {
            if !fits {
                return Err(InvalidPosition::Range(name));
            }
        }
        Ok(())
    }
}

/// Whether `name` can be a company: not empty, short, and fit to be one level of an MQTT topic.
fn is_company(name: &str) -> bool {
    (1..=COMPANY_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| matches!(c, '/' | '+' | '#') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../samples/vehicle_update.json");

    #[test]
    fn the_golden_sample_reads_and_writes_the_same_json() {
        let position = Position::from_json(SAMPLE.as_bytes()).unwrap();
        assert_eq!(position.plate.as_str(), "T1A23");
        assert_eq!(position.kind, Kind::Taxi);
        let written: serde_json::Value = serde_json::from_slice(&position.to_json()).unwrap();
        let sample: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
        assert_eq!(written, sample);
    }

    /// The sample with one field replaced.
    fn with(field: &str, value: serde_json::Value) -> Vec<u8> {
        let mut json: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
        json[field] = value;
        serde_json::to_vec(&json).unwrap()
    }

    #[test]
    fn what_is_not_a_position_says_why() {
        use serde_json::json;
        for (payload, reason) in [
            (b"hello".to_vec(), "not a position: expected value"),
            (b"{}".to_vec(), "missing field `plate`"),
            (with("plate", json!("a/b")), "plate is not"),
            (with("plate", json!("")), "plate is not"),
            (with("speed", json!(-1)), "speed is out of range"),
            (with("speed", json!("fast")), "invalid type: string"),
            (with("bearing", json!(360)), "bearing is out of range"),
            (
                with("current", json!({"lat": 91, "lng": 0})),
                "current is out of range",
            ),
            (with("companyName", json!("a/+")), "companyName is out of"),
            (with("speedLimit", json!(-1)), "speedLimit is out of range"),
            (with("passengers", json!(-1)), "invalid value"),
        ] {
            let error = Position::from_json(&payload).unwrap_err().to_string();
            assert!(error.contains(reason), "`{error}` has no `{reason}`");
        }
    }

    #[test]
    fn a_speed_limit_may_be_there() {
        let read = |value| Position::from_json(&with("speedLimit", value)).unwrap();
        let limited = read(serde_json::json!(50));
        assert_eq!(limited.speed_limit, Some(50.0));
        assert_eq!(Position::from_json(&limited.to_json()).unwrap(), limited);
        assert_eq!(read(serde_json::Value::Null).speed_limit, None);
    }

    #[test]
    fn a_field_more_is_no_error() {
        assert!(Position::from_json(&with("extra", serde_json::json!(1))).is_ok());
    }
}
