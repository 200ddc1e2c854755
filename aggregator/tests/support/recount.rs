//! What Kafka itself says the aggregator should have written, straight from the JSON of all positions; and what it has.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Cell, Frame, LatLng};
use serde_json::Value;

use super::{TestKafka, Topics, read_all};

/// What all topics say.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// By topic, `company`, `direction`, `cell` or `minute`, and key: the numbers by their JSON names.
    pub(crate) totals: BTreeMap<(&'static str, String), BTreeMap<String, f64>>,
    /// By cell of the map: the plates.
    pub(crate) map: BTreeMap<String, BTreeSet<String>>,
    /// By plate: kind and whether it ended, of each alert in its order.
    pub(crate) alerts: BTreeMap<String, Vec<(String, bool)>>,
}

/// Adds up all positions of the log: the newest of each plate, and each one by minute and for speeding.
pub(crate) async fn recount(kafka: &TestKafka, topics: &Topics) -> Totals {
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    let mut found = Totals::default();
    let mut minutes: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut speeding: BTreeSet<String> = BTreeSet::new();
    for record in read_all(kafka, &topics.updates).await {
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let Some(plate) = key.map(|key| key.into_owned()) else {
            continue;
        };
        let mut speeds = |plate: &str, is_over: bool| {
            let has_changed = match is_over {
                true => speeding.insert(plate.to_owned()),
                false => speeding.remove(plate),
            };
            if has_changed {
                let told = found.alerts.entry(plate.to_owned()).or_default();
                told.push(("speeding".to_owned(), !is_over));
            }
        };
        match record.value.as_deref() {
            None | Some([]) => {
                speeds(&plate, false);
                newest.remove(&plate);
            }
            Some(value) => {
                let Ok(json) = serde_json::from_slice::<Value>(value) else {
                    continue;
                };
                let number = |field: &str| json[field].as_f64();
                let Some(speed) = number("speed").filter(|speed| *speed >= 0.0) else {
                    continue;
                };
                if json["plate"] != plate.as_str() {
                    continue;
                }
                let timestamp = json["updateTimestamp"].as_u64().unwrap();
                minutes
                    .entry(timestamp / 60_000 * 60_000)
                    .or_default()
                    .push(speed);
                match number("speedLimit") {
                    Some(limit) if speed > limit * 1.1 => speeds(&plate, true),
                    Some(limit) if speed > limit => {}
                    _ => speeds(&plate, false),
                }
                newest.insert(plate, json);
            }
        }
    }
    let mut groups: BTreeMap<(&'static str, String), Vec<&Value>> = BTreeMap::new();
    for (plate, json) in &newest {
        let place =
            |field: &str| -> LatLng { serde_json::from_value(json[field].clone()).unwrap() };
        let at = place("current");
        let company = json["companyName"].as_str().unwrap().to_owned();
        groups.entry(("company", company)).or_default().push(json);
        for chars in [4, 6] {
            let cell = Cell::holding(at, chars).to_string();
            groups.entry(("cell", cell)).or_default().push(json);
        }
        if json["speed"].as_f64().unwrap() >= 1.0 {
            let direction = match at.bearing_deg(place("destination")) {
                0.0..90.0 => "NE",
                90.0..180.0 => "SE",
                180.0..270.0 => "SW",
                _ => "NW",
            };
            let group = groups.entry(("direction", direction.to_owned()));
            group.or_default().push(json);
        }
        let cell = Cell::holding(at, 5).to_string();
        found.map.entry(cell).or_default().insert(plate.clone());
    }
    for ((topic, key), vehicles) in groups {
        let sum = |field: &str| {
            vehicles
                .iter()
                .map(|v| v[field].as_f64().unwrap())
                .sum::<f64>()
        };
        let newest = vehicles
            .iter()
            .map(|v| v["updateTimestamp"].as_u64().unwrap());
        let mut numbers = BTreeMap::from([
            ("vehicles".to_owned(), count(vehicles.len())),
            ("passengers".to_owned(), sum("passengers")),
            ("meanSpeed".to_owned(), sum("speed") / count(vehicles.len())),
            ("updateTimestamp".to_owned(), newest.max().unwrap() as f64),
        ]);
        if topic != "cell" {
            let hired = vehicles.iter().filter(|v| v["isHired"] == true).count();
            numbers.insert("hired".to_owned(), count(hired));
        }
        found.totals.insert((topic, key), numbers);
    }
    for (minute, speeds) in minutes {
        let numbers = BTreeMap::from([
            ("minute".to_owned(), minute as f64),
            ("messages".to_owned(), count(speeds.len())),
            (
                "meanSpeed".to_owned(),
                speeds.iter().sum::<f64>() / count(speeds.len()),
            ),
        ]);
        found.totals.insert(("minute", minute.to_string()), numbers);
    }
    found
}

/// What the aggregator has published, by the newest record of each key; of alerts, all of them.
pub(crate) async fn published(kafka: &TestKafka, topics: &Topics) -> Totals {
    let mut found = Totals::default();
    for (name, topic) in [
        ("company", &topics.company),
        ("direction", &topics.direction),
        ("cell", &topics.cell),
        ("minute", &topics.minute),
    ] {
        for record in read_all(kafka, topic).await {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let Some(value) = record.value else {
                found.totals.remove(&(name, key));
                continue;
            };
            let json: BTreeMap<String, Value> = serde_json::from_slice(&value).unwrap();
            if name != "minute" {
                assert_eq!(json[name], key.as_str());
            }
            let numbers = json
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_f64()?)))
                .collect();
            found.totals.insert((name, key), numbers);
        }
    }
    for record in read_all(kafka, &topics.map).await {
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        let frame = Frame::decode(&record.value.unwrap(), key.parse().unwrap()).unwrap();
        assert_eq!(frame.total as usize, frame.vehicles.len());
        let plates = frame.vehicles.into_iter().map(|v| v.plate.to_string());
        match frame.total {
            0 => found.map.remove(&key),
            _ => found.map.insert(key, plates.collect()),
        };
    }
    for record in read_all(kafka, &topics.alerts).await {
        let Some(value) = record.value else {
            continue;
        };
        let json: Value = serde_json::from_slice(&value).unwrap();
        let text = |field: &str| json[field].as_str().unwrap().to_owned();
        let key = format!("{}/{}", text("kind"), text("plate"));
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        let of_plate = found.alerts.entry(text("plate")).or_default();
        of_plate.push((text("kind"), json["endedAt"].is_u64()));
    }
    found
}

/// What is different; speeds are published to a hundredth of a km/h.
pub(crate) fn difference(published: &Totals, recount: &Totals) -> Option<String> {
    let mut keys: BTreeSet<_> = published.totals.keys().collect();
    keys.extend(recount.totals.keys());
    for key in keys {
        let (a, b) = (published.totals.get(key), recount.totals.get(key));
        let is_equal = a.zip(b).is_some_and(|(a, b)| {
            a.len() == b.len()
                && a.iter().all(|(name, x)| {
                    let tolerance = if name == "meanSpeed" { 0.011 } else { 0.0 };
                    b.get(name).is_some_and(|y| (x - y).abs() <= tolerance)
                })
        });
        if !is_equal {
            return Some(format!("{key:?}: {a:?} is not {b:?}"));
        }
    }
    if published.map != recount.map {
        return Some(format!("map: {:?} is not {:?}", published.map, recount.map));
    }
    (published.alerts != recount.alerts).then(|| {
        format!(
            "alerts: {:?} are not {:?}",
            published.alerts, recount.alerts
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "few vehicles")]
fn count(of: usize) -> f64 {
    of as f64
}
