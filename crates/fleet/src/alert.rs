//! Alerts: what somebody should look at.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::totals::Json;
use crate::{LatLng, Plate};

/// One alert of one vehicle: the JSON on `fleet/alerts/<kind>/<plate>`. It comes when the alert begins, and once more,
/// with `endedAt`, when it ends; then the topic's retained message is removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// What is wrong.
    pub kind: AlertKind,
    /// Whose alert it is.
    pub plate: Plate,
    /// The company that owns it.
    pub company: String,
    /// Where it was by its newest position.
    pub current: LatLng,
    /// km/h by its newest position.
    pub speed: f64,
    /// km/h, what the road allows there, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_limit: Option<f64>,
    /// Milliseconds since the Unix epoch: since when it is so.
    pub began_at: u64,
    /// Milliseconds since the Unix epoch: until when it was so; missing while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

impl Json for Alert {}

/// What is wrong with a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertKind {
    /// It has sent nothing for too long.
    Offline,
    /// It has been standing for too long.
    Stopped,
    /// It is faster than the road allows.
    Speeding,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Offline, Self::Stopped, Self::Speeding];

    /// `offline`, `stopped` or `speeding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Stopped => "stopped",
            Self::Speeding => "speeding",
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AlertKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is none of offline, stopped and speeding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_samples_read_and_write_the_same_json() {
        for (sample, kind, ended_at) in [
            (
                include_str!("../samples/alert_speeding.json"),
                AlertKind::Speeding,
                None,
            ),
            (
                include_str!("../samples/alert_offline_ended.json"),
                AlertKind::Offline,
                Some(1_767_225_672_500),
            ),
        ] {
            let alert = Alert::from_json(sample.as_bytes()).unwrap();
            assert_eq!((alert.kind, alert.ended_at), (kind, ended_at));
            assert_eq!(alert.kind.as_str().parse(), Ok(kind));
            let written: serde_json::Value = serde_json::from_slice(&alert.to_json()).unwrap();
            let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
            assert_eq!(written, sample);
        }
    }
}
