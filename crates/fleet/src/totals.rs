//! Totals by company, as the aggregator publishes them.

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

impl CompanyTotal {
    /// Reads one payload.
    ///
    /// # Errors
    /// When it isn't JSON of this form.
    pub fn from_json(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The payload to publish.
    ///
    /// # Panics
    /// Never: the type has no map with non-text keys and no failing serializer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("totals are plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_sample_reads_and_writes_the_same_json() {
        let sample = include_str!("../samples/company_passengers.json");
        let total = CompanyTotal::from_json(sample.as_bytes()).unwrap();
        assert_eq!(total.passengers, 31);
        let written: serde_json::Value = serde_json::from_slice(&total.to_json()).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(sample).unwrap()
        );
    }
}
