//! The fleet's MQTT topics and the Kafka topics they map to.

use crate::Plate;

/// The prefix unless a setting says otherwise.
pub const PREFIX: &str = "fleet/";

/// Kafka topic of every position, keyed by plate.
pub const KAFKA_VEHICLE_UPDATES: &str = "vehicle_updates";
/// Kafka topic of the positions of the visible vehicles, keyed by plate.
pub const KAFKA_VISIBLE_VEHICLE_UPDATES: &str = "visible_vehicle_updates";
/// Kafka topic (compacted) of `online` and `offline`, keyed by plate.
pub const KAFKA_VEHICLE_STATUS: &str = "vehicle_status";
/// Kafka topic of the commands to vehicles, keyed by plate.
pub const KAFKA_VEHICLE_COMMANDS: &str = "vehicle_commands";
/// Kafka topic (compacted) of the totals, keyed by company.
pub const KAFKA_COMPANY_PASSENGERS: &str = "company_passengers";
/// Kafka topic of records that could not be read, with the reason in their headers.
pub const KAFKA_DEAD_LETTERS: &str = "dead_letters";

/// MQTT topic names below one prefix.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// Topics below `prefix`, e.g. `fleet/`; the last slash may be left out.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')),
        }
    }

    /// Every position of one vehicle.
    pub fn vehicle_update(&self, plate: &Plate) -> String {
        format!("{}vehicle_updates/{plate}", self.prefix)
    }

    /// Every position of one of the visible vehicles.
    pub fn visible_vehicle_update(&self, plate: &Plate) -> String {
        format!("{}visible_vehicle_updates/{plate}", self.prefix)
    }

    /// `online` or `offline`, retained.
    pub fn vehicle_status(&self, plate: &Plate) -> String {
        format!("{}vehicle_status/{plate}", self.prefix)
    }

    /// Commands to one vehicle.
    pub fn command(&self, plate: &Plate) -> String {
        format!("{}commands/{plate}", self.prefix)
    }

    /// Whether `topic` is one that vehicles may answer on: a topic name below `fleet/replies/`.
    pub fn is_reply(&self, topic: &str) -> bool {
        let below = topic
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix("replies/"));
        below.is_some_and(|rest| !rest.is_empty() && !rest.contains(['+', '#', '\0']))
    }

    /// Totals of one company, retained.
    pub fn company_passengers(&self, company: &str) -> String {
        format!("{}company_passengers/{company}", self.prefix)
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_spelled_as_documented() {
        let topics = Topics::default();
        let plate: Plate = "T1A23".parse().unwrap();
        assert_eq!(topics.vehicle_update(&plate), "fleet/vehicle_updates/T1A23");
        assert_eq!(
            topics.visible_vehicle_update(&plate),
            "fleet/visible_vehicle_updates/T1A23"
        );
        assert_eq!(topics.vehicle_status(&plate), "fleet/vehicle_status/T1A23");
        assert_eq!(topics.command(&plate), "fleet/commands/T1A23");
        for (topic, is_reply) in [
            ("fleet/replies/desk/7", true),
            ("fleet/replies/", false),
            ("fleet/replies/#", false),
            ("fleet/vehicle_updates/T1A23", false),
            ("replies/7", false),
        ] {
            assert_eq!(topics.is_reply(topic), is_reply, "{topic}");
        }
        assert_eq!(
            Topics::new("demo").company_passengers("Meridian Taxi"),
            "demo/company_passengers/Meridian Taxi"
        );
    }
}
