//! Which ways a kind of vehicle may drive, in which direction, and how fast. Tags as in the OpenStreetMap wiki
//! (`Key:highway`, `Key:access`, `Key:oneway`, `Key:maxspeed`, `Key:barrier`, `Tag:route=ferry`). Conditions that
//! change by the hour (`*:conditional`) are not read.

use fleet::Kind;

use super::size;
use super::units::{duration_s, speed_kmh, zone_kmh};

/// What a vehicle may do on a way; a direction that is closed has no speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// m/s along the order of the way's nodes.
    pub forward_mps: Option<f64>,
    /// m/s against it.
    pub backward_mps: Option<f64>,
    /// Seconds from one end of the way to the other, where the map says so (a ferry): then this decides the speed.
    pub duration_s: Option<f64>,
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
    if tags.value("route") == Some("ferry") {
        return ferry(kind, tags);
    }
    let highway = tags.value("highway")?;
    let class_kmh = class_kmh(kind, highway)?;
    if tags.value("area") == Some("yes") || !size::fits(kind, tags) {
        return None;
    }
    let (forward, backward) = directions(kind, highway, tags)?;
    let speed_mps = |open: bool, direction: &str| {
        let open = open && access(kind, tags, direction) != Some(false);
        open.then(|| way_kmh(kind, class_kmh, tags, direction) / 3.6)
    };
    let rules = Rules {
        forward_mps: speed_mps(forward, "forward"),
        backward_mps: speed_mps(backward, "backward"),
        duration_s: None,
        can_stop: !highway.starts_with("motorway") && !highway.starts_with("trunk"),
    };
    (rules.forward_mps.is_some() || rules.backward_mps.is_some()).then_some(rules)
}

/// A ferry carries a vehicle where its tags say so: many carry people alone and have no tag that says that.
fn ferry(kind: Kind, tags: &impl Tags) -> Option<Rules> {
    /// Where the ferry has no `duration`. A guess: a small ferry, with its stops.
    const FERRY_KMH: f64 = 12.0;
    let (forward, backward) = directions(kind, "ferry", tags)?;
    let takes = size::fits(kind, tags);
    let speed_mps = |open: bool, direction: &str| {
        let open = open && takes && access(kind, tags, direction) == Some(true);
        open.then_some(FERRY_KMH / 3.6)
    };
    let rules = Rules {
        forward_mps: speed_mps(forward, "forward"),
        backward_mps: speed_mps(backward, "backward"),
        duration_s: tags.value("duration").and_then(duration_s),
        can_stop: false,
    };
    (rules.forward_mps.is_some() || rules.backward_mps.is_some()).then_some(rules)
}

/// Whether a node with these tags stops `kind`: its access tags decide, else what stands there.
pub fn is_barred(kind: Kind, tags: &impl Tags) -> bool {
    let Some(barrier) = tags.value("barrier") else {
        return false;
    };
    let blocks = match barrier {
        // A rising one opens for those who may pass, as a gate does.
        "bollard" => tags.value("bollard") != Some("rising"),
        "block"
        | "bus_trap"
        | "chain"
        | "cycle_barrier"
        | "debris"
        | "fence"
        | "guard_rail"
        | "hedge"
        | "jersey_barrier"
        | "kissing_gate"
        | "log"
        | "motorcycle_barrier"
        | "planter"
        | "rope"
        | "stile"
        | "sump_buster"
        | "turnstile"
        | "full-height_turnstile"
        | "wall" => true,
        _ => false,
    };
    let open = access(kind, tags, "forward").unwrap_or(!blocks);
    !open || !size::fits(kind, tags)
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

/// Where a zone is signed and no figure.
const ZONE_KEYS: [&str; 4] = [
    "zone:maxspeed",
    "maxspeed:type",
    "source:maxspeed",
    "zone:traffic",
];

fn way_kmh(kind: Kind, class_kmh: f64, tags: &impl Tags, direction: &str) -> f64 {
    let signed = |key: &str| {
        tags.value(&format!("{key}:{direction}"))
            .or_else(|| tags.value(key))
            .and_then(speed_kmh)
    };
    let zone = || {
        let mut values = ZONE_KEYS.iter().filter_map(|key| tags.value(key));
        // A road's class knows better than a zone how fast one gets on there, and a zone how fast one may.
        values
            .find_map(zone_kmh)
            .map(|kmh| kmh.min(class_kmh.max(50.0)))
    };
    let limit = signed("maxspeed").or_else(zone).unwrap_or(class_kmh);
    let limit = match kind {
        Kind::Taxi => limit,
        Kind::Truck => {
            // A sign for cars does not make a truck faster than its class does.
            signed("maxspeed:hgv").unwrap_or_else(|| limit.min(class_kmh.max(50.0)))
        }
    };
    limit.clamp(5.0, vehicle_kmh(kind))
}

/// What a vehicle is called in keys of access, the most specific name first.
pub(super) fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Taxi => &["taxi", "psv", "motorcar", "motor_vehicle", "vehicle"],
        Kind::Truck => &["hgv", "motor_vehicle", "vehicle"],
    }
}

/// Whether one may enter in this direction; nothing where no tag says so. The most specific tag decides.
fn access(kind: Kind, tags: &impl Tags, direction: &str) -> Option<bool> {
    let through_traffic_only = kind == Kind::Truck;
    let value = names(kind).iter().chain(&["access"]).find_map(|key| {
        tags.value(&format!("{key}:{direction}"))
            .or_else(|| tags.value(key))
    })?;
    Some(match value {
        "no" | "private" | "agricultural" | "forestry" | "agricultural;forestry" => false,
        "emergency" | "military" | "bus" | "psv" | "permit" | "customers" => false,
        "delivery" | "destination" => !through_traffic_only,
        _ => true,
    })
}

/// Whether one may drive along the order of the nodes, and against it. Nothing for lanes that change direction by the
/// hour: they are closed to us.
fn directions(kind: Kind, highway: &str, tags: &impl Tags) -> Option<(bool, bool)> {
    let implied =
        highway == "motorway" || matches!(tags.value("junction"), Some("roundabout" | "circular"));
    let ours = names(kind)
        .iter()
        .find_map(|name| tags.value(&format!("oneway:{name}")));
    match ours.or_else(|| tags.value("oneway")) {
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
            (
                &[
                    ("highway", "primary"),
                    ("motor_vehicle", "no"),
                    ("psv", "yes"),
                ],
                both(50),
            ),
            (
                &[
                    ("highway", "primary"),
                    ("oneway", "yes"),
                    ("oneway:taxi", "no"),
                ],
                both(50),
            ),
            (
                &[("highway", "primary"), ("motor_vehicle:backward", "no")],
                Some((Some(50), None)),
            ),
            (&[("highway", "living_street")], both(10)),
            (&[("highway", "primary"), ("maxheight", "1.5")], None),
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
            ("none", 110),
            ("IT:urban", 50),
            ("signals", 50),
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
    fn a_zone_has_its_speed_where_no_sign_has() {
        for (tags, expected) in [
            (("source:maxspeed", "DE:zone:30"), 30),
            (("zone:maxspeed", "20"), 50),
            (("zone:maxspeed", "IT:20"), 20),
            (("maxspeed:type", "DE:rural"), 50),
            (("maxspeed:type", "sign"), 50),
        ] {
            let speed = Some(expected);
            let tags = [("highway", "primary"), tags];
            assert_eq!(kmh(Kind::Taxi, &tags), Some((speed, speed)), "{tags:?}");
        }
    }

    #[test]
    fn a_ferry_takes_whom_it_says_it_takes() {
        let ferry = |kind, key, value| {
            let tags = [("route", "ferry"), ("duration", "00:20"), (key, value)];
            rules(kind, &&tags[..]).map(|r| r.duration_s)
        };
        let yes = Some(Some(1_200.0));
        assert_eq!(ferry(Kind::Taxi, "motor_vehicle", "yes"), yes);
        assert_eq!(ferry(Kind::Truck, "motor_vehicle", "yes"), yes);
        assert_eq!(ferry(Kind::Taxi, "motorcar", "yes"), yes);
        assert_eq!(ferry(Kind::Truck, "motorcar", "yes"), None);
        assert_eq!(ferry(Kind::Truck, "hgv", "designated"), yes);
        assert_eq!(ferry(Kind::Taxi, "foot", "yes"), None);
        assert_eq!(ferry(Kind::Taxi, "motor_vehicle", "no"), None);
    }

    #[test]
    fn barriers_stop_whom_they_do_not_let_pass() {
        for (tags, taxi, truck) in [
            (&[("barrier", "bollard")][..], true, true),
            (
                &[("barrier", "bollard"), ("bollard", "rising")],
                false,
                false,
            ),
            (&[("barrier", "bollard"), ("psv", "yes")], false, true),
            (&[("barrier", "gate")], false, false),
            (&[("barrier", "gate"), ("access", "private")], true, true),
            (&[("barrier", "lift_gate"), ("hgv", "no")], false, true),
            (&[("barrier", "toll_booth")], false, false),
            (&[("barrier", "block")], true, true),
            (
                &[("barrier", "height_restrictor"), ("maxheight", "2.5")],
                false,
                true,
            ),
            (&[("highway", "crossing")], false, false),
        ] {
            assert_eq!(is_barred(Kind::Taxi, &tags), taxi, "{tags:?}");
            assert_eq!(is_barred(Kind::Truck, &tags), truck, "{tags:?}");
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
