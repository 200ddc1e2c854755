//! Which ways a kind of vehicle may drive, in which direction, and how fast. Tags as in the OpenStreetMap wiki
//! (`Key:highway`, `Key:access`, `Key:oneway`, `Key:maxspeed`).

use fleet::Kind;

/// What a vehicle may do on a way; a direction that is closed has no speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// m/s along the order of the way's nodes.
    pub forward_mps: Option<f64>,
    /// m/s against it.
    pub backward_mps: Option<f64>,
    /// Whether a trip may start and end here: not on motorways and the like.
    pub can_stop: bool,
}

/// The tags of one way.
pub trait Tags {
    /// The value of a key.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Tags for osmpbfreader::Tags {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(|value| value.as_str())
    }
}

impl Tags for &[(&str, &str)] {
    fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }
}

/// The rules of a way for `kind`, or nothing when it may not drive there at all.
pub fn rules(kind: Kind, tags: &impl Tags) -> Option<Rules> {
    let highway = tags.value("highway")?;
    let class_kmh = class_kmh(kind, highway)?;
    if tags.value("area") == Some("yes") || !may_enter(kind, tags) {
        return None;
    }
    let (forward, backward) = directions(highway, tags)?;
    let speed_mps = |direction| speed_kmh(kind, class_kmh, tags, direction) / 3.6;
    Some(Rules {
        forward_mps: forward.then(|| speed_mps("forward")),
        backward_mps: backward.then(|| speed_mps("backward")),
        can_stop: !highway.starts_with("motorway") && !highway.starts_with("trunk"),
    })
}

/// The speed where no sign says otherwise. Service roads (drives, car parks, alleys) are not for through traffic and
/// are left out.
fn class_kmh(kind: Kind, highway: &str) -> Option<f64> {
    let (taxi, truck) = match highway {
        "motorway" => (100.0, 80.0),
        "trunk" => (80.0, 80.0),
        "motorway_link" | "trunk_link" => (50.0, 40.0),
        "primary" => (50.0, 60.0),
        "secondary" => (50.0, 60.0),
        "primary_link" | "secondary_link" | "tertiary_link" => (40.0, 40.0),
        "tertiary" => (45.0, 50.0),
        "unclassified" => (40.0, 45.0),
        "residential" | "road" => (30.0, 30.0),
        "living_street" => (10.0, 10.0),
        _ => return None,
    };
    Some(match kind {
        Kind::Taxi => taxi,
        Kind::Truck => truck,
    })
}

/// The fastest a vehicle of this kind goes anywhere, whatever the signs say, in km/h.
fn vehicle_kmh(kind: Kind) -> f64 {
    match kind {
        Kind::Taxi => 110.0,
        // The EU limiter of heavy vehicles is set to 90 (Directive 92/6/EEC).
        Kind::Truck => 90.0,
    }
}

fn speed_kmh(kind: Kind, class_kmh: f64, tags: &impl Tags, direction: &str) -> f64 {
    let signed = |key: &str| {
        tags.value(&format!("{key}:{direction}"))
            .or_else(|| tags.value(key))
            .and_then(parse_speed_kmh)
    };
    let limit = signed("maxspeed").unwrap_or(class_kmh);
    let limit = match kind {
        Kind::Taxi => limit,
        Kind::Truck => {
            // A sign for cars does not make a truck faster than its class does.
            signed("maxspeed:hgv").unwrap_or_else(|| limit.min(class_kmh.max(50.0)))
        }
    };
    limit.clamp(5.0, vehicle_kmh(kind))
}

/// `50`, `50 km/h`, `30 mph`, `walk`; other texts (`none`, `signals`, `IT:urban`) leave the class's speed.
fn parse_speed_kmh(text: &str) -> Option<f64> {
    let text = text.trim();
    if text == "walk" {
        return Some(7.0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let kmh = match unit.trim() {
        "" | "km/h" | "kmh" | "kph" => number,
        "mph" => number * 1.609_344,
        "knots" => number * 1.852,
        _ => return None,
    };
    (kmh > 0.0).then_some(kmh)
}

/// The most specific access tag decides.
fn may_enter(kind: Kind, tags: &impl Tags) -> bool {
    let keys: &[&str] = match kind {
        Kind::Taxi => &["taxi", "motorcar", "motor_vehicle", "vehicle", "access"],
        Kind::Truck => &["hgv", "motor_vehicle", "vehicle", "access"],
    };
    let through_traffic_only = kind == Kind::Truck;
    match keys.iter().find_map(|key| tags.value(key)) {
        Some("no" | "private" | "agricultural" | "forestry" | "agricultural;forestry") => false,
        Some("emergency" | "military" | "bus" | "psv" | "permit" | "customers") => false,
        Some("delivery" | "destination") => !through_traffic_only,
        _ => true,
    }
}

/// Whether one may drive along the order of the nodes, and against it. Nothing for lanes that change direction by the
/// hour: they are closed to us.
fn directions(highway: &str, tags: &impl Tags) -> Option<(bool, bool)> {
    let implied =
        highway == "motorway" || matches!(tags.value("junction"), Some("roundabout" | "circular"));
    match tags.value("oneway") {
        Some("yes" | "true" | "1") => Some((true, false)),
        Some("-1" | "reverse") => Some((false, true)),
        Some("no" | "false" | "0") => Some((true, true)),
        Some("reversible" | "alternating") => None,
        _ if implied => Some((true, false)),
        _ => Some((true, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kmh(kind: Kind, tags: &[(&str, &str)]) -> Option<(Option<u32>, Option<u32>)> {
        let round = |mps: f64| (mps * 3.6).round() as u32;
        rules(kind, &tags).map(|r| (r.forward_mps.map(round), r.backward_mps.map(round)))
    }

    #[test]
    fn directions_and_access_follow_the_tags() {
        let both = |v| Some((Some(v), Some(v)));
        for (tags, expected) in [
            (&[("highway", "residential")][..], both(30)),
            (&[("highway", "footway")], None),
            (&[("highway", "service")], None),
            (&[("building", "yes")], None),
            (&[("highway", "motorway")], Some((Some(100), None))),
            (&[("highway", "motorway"), ("oneway", "no")], both(100)),
            (
                &[("highway", "primary"), ("oneway", "yes")],
                Some((Some(50), None)),
            ),
            (
                &[("highway", "primary"), ("oneway", "-1")],
                Some((None, Some(50))),
            ),
            (&[("highway", "primary"), ("oneway", "reversible")], None),
            (
                &[("highway", "tertiary"), ("junction", "roundabout")],
                Some((Some(45), None)),
            ),
            (&[("highway", "primary"), ("access", "private")], None),
            (
                &[("highway", "primary"), ("access", "no"), ("taxi", "yes")],
                both(50),
            ),
            (&[("highway", "primary"), ("motor_vehicle", "no")], None),
            (&[("highway", "primary"), ("hgv", "no")], both(50)),
            (&[("highway", "primary"), ("area", "yes")], None),
            (
                &[("highway", "residential"), ("access", "destination")],
                both(30),
            ),
        ] {
            assert_eq!(kmh(Kind::Taxi, tags), expected, "{tags:?}");
        }
    }

    #[test]
    fn speeds_follow_the_signs() {
        for (maxspeed, expected) in [
            ("30", 30),
            ("25 mph", 40),
            ("25mph", 40),
            ("walk", 7),
            ("none", 50),
            ("IT:urban", 50),
            ("0", 50),
            ("1000", 110),
        ] {
            let tags = [("highway", "primary"), ("maxspeed", maxspeed)];
            let speed = Some(expected);
            assert_eq!(kmh(Kind::Taxi, &tags), Some((speed, speed)), "{maxspeed}");
        }
        let by_direction = [
            ("highway", "primary"),
            ("maxspeed", "50"),
            ("maxspeed:backward", "30"),
        ];
        assert_eq!(kmh(Kind::Taxi, &by_direction), Some((Some(50), Some(30))));
    }

    #[test]
    fn trucks_have_their_own_rules() {
        let motorway = [("highway", "motorway"), ("maxspeed", "130")];
        assert_eq!(kmh(Kind::Truck, &motorway), Some((Some(80), None)));
        let signed = [("highway", "motorway"), ("maxspeed:hgv", "90")];
        assert_eq!(kmh(Kind::Truck, &signed), Some((Some(90), None)));
        for closed in [("hgv", "no"), ("hgv", "destination")] {
            assert_eq!(kmh(Kind::Truck, &[("highway", "primary"), closed]), None);
        }
    }

    #[test]
    fn nobody_stops_on_a_motorway() {
        let can_stop = |class| {
            rules(Kind::Taxi, &&[("highway", class)][..])
                .unwrap()
                .can_stop
        };
        assert!(can_stop("primary"));
        assert!(!can_stop("motorway_link"));
        assert!(!can_stop("trunk"));
    }
}
