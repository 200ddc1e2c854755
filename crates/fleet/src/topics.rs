//! The fleet's MQTT topics and the Kafka topics they map to.

use crate::{AlertKind, Cell, Direction, Plate};

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
/// Kafka topic (compacted) of the totals by direction of travel, keyed by direction.
pub const KAFKA_DIRECTION_STATS: &str = "direction_stats";
/// Kafka topic (compacted) of the totals by map cell, keyed by geohash.
pub const KAFKA_CELL_STATS: &str = "cell_stats";
/// Kafka topic of the totals by minute, keyed by the minute's start.
pub const KAFKA_MINUTE_STATS: &str = "minute_stats";
/// Kafka topic (compacted) of alerts, keyed by `<kind>/<plate>`.
pub const KAFKA_FLEET_ALERTS: &str = "fleet_alerts";
/// Kafka topic of the map's frames, keyed by geohash.
pub const KAFKA_MAP_FRAMES: &str = "map_frames";
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

    /// Totals of one direction of travel, retained.
    pub fn direction_stats(&self, direction: Direction) -> String {
        format!("{}direction_stats/{direction}", self.prefix)
    }

    /// Totals of one map cell, retained.
    pub fn cell_stats(&self, cell: Cell) -> String {
        format!("{}cell_stats/{cell}", self.prefix)
    }

    /// Totals of one minute; `minute` is its start, milliseconds since the Unix epoch.
    pub fn minute_stats(&self, minute: u64) -> String {
        format!("{}minute_stats/{minute}", self.prefix)
    }

    /// One alert of one vehicle, retained while it lasts.
    pub fn alert(&self, kind: AlertKind, plate: &Plate) -> String {
        format!("{}alerts/{kind}/{plate}", self.prefix)
    }

    /// All vehicles of a map cell, in frames.
    pub fn map(&self, cell: Cell) -> String {
        format!("{}map/{cell}", self.prefix)
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
        let cell: Cell = "dr5ru".parse().unwrap();
        assert_eq!(
            topics.direction_stats(Direction::SouthWest),
            "fleet/direction_stats/SW"
        );
        assert_eq!(topics.cell_stats(cell), "fleet/cell_stats/dr5ru");
        assert_eq!(topics.minute_stats(60_000), "fleet/minute_stats/60000");
        assert_eq!(
            topics.alert(AlertKind::Speeding, &plate),
            "fleet/alerts/speeding/T1A23"
        );
        assert_eq!(topics.map(cell), "fleet/map/dr5ru");
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
