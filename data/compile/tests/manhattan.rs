//! The model of Manhattan against what is known of Manhattan.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{LatLng, Map, bearing, data, metres};

/// In Central Park, on the Great Lawn.
const ON_LAND: LatLng = (40.7815, -73.9665);

fn manhattan() -> Map {
    Map::read(&data("manhattan.osm.pbf"))
}

/// Crossings and where they are: mostly where the subway has a station of that name.
const CROSSINGS: [(&str, &str, LatLng); 36] = [
    ("5th Avenue", "Central Park South", (40.7644, -73.9731)),
    ("Broadway", "Central Park South", (40.7681, -73.9819)),
    (
        "Central Park West",
        "Central Park North",
        (40.8004, -73.9581),
    ),
    ("5th Avenue", "Central Park North", (40.7969, -73.9494)),
    ("7th Avenue", "West 42nd Street", (40.7560, -73.9870)),
    ("5th Avenue", "West 42nd Street", (40.7535, -73.9808)),
    ("6th Avenue", "West 34th Street", (40.7496, -73.9880)),
    ("5th Avenue", "Broadway", (40.7411, -73.9897)),
    ("1st Avenue", "East 14th Street", (40.7311, -73.9826)),
    ("Lexington Avenue", "East 51st Street", (40.7571, -73.9719)),
    ("6th Avenue", "West 23rd Street", (40.7429, -73.9929)),
    ("7th Avenue", "West 23rd Street", (40.7441, -73.9956)),
    ("7th Avenue", "West 28th Street", (40.7473, -73.9933)),
    ("8th Avenue", "West 50th Street", (40.7624, -73.9860)),
    ("Park Avenue", "East 33rd Street", (40.7461, -73.9821)),
    ("Park Avenue South", "East 28th Street", (40.7432, -73.9841)),
    ("Lexington Avenue", "East 59th Street", (40.7625, -73.9680)),
    ("Lexington Avenue", "East 68th Street", (40.7682, -73.9639)),
    ("Lexington Avenue", "East 77th Street", (40.7736, -73.9599)),
    ("Lexington Avenue", "East 103rd Street", (40.7906, -73.9478)),
    ("Lexington Avenue", "East 116th Street", (40.7986, -73.9416)),
    ("Lexington Avenue", "125th Street", (40.8041, -73.9375)),
    (
        "Central Park West",
        "West 103rd Street",
        (40.7962, -73.9614),
    ),
    ("Central Park West", "West 86th Street", (40.7855, -73.9690)),
    ("Central Park West", "West 96th Street", (40.7917, -73.9646)),
    ("Broadway", "West 72nd Street", (40.7785, -73.9820)),
    ("8th Avenue", "West 34th Street", (40.7523, -73.9934)),
    ("Broadway", "West 116th Street", (40.8078, -73.9641)),
    ("Broadway", "West 145th Street", (40.8266, -73.9504)),
    (
        "Malcolm X Boulevard",
        "West 116th Street",
        (40.8022, -73.9496),
    ),
    (
        "Malcolm X Boulevard",
        "West 135th Street",
        (40.8142, -73.9408),
    ),
    (
        "Malcolm X Boulevard",
        "West 145th Street",
        (40.8204, -73.9362),
    ),
    ("Broadway", "Canal Street", (40.7194, -74.0019)),
    ("Broadway", "Chambers Street", (40.7141, -74.0063)),
    ("Delancey Street", "Essex Street", (40.7186, -73.9881)),
    ("Varick Street", "West Houston Street", (40.7283, -74.0053)),
];

/// Where roads of two names share a node, next to `near`.
fn crossing(map: &Map, a: &str, b: &str, near: LatLng) -> Option<LatLng> {
    let nodes = |name: &str| -> Vec<i64> {
        map.ways
            .iter()
            .filter(|way| way.is("name", name))
            .flat_map(|way| way.nodes.clone())
            .collect()
    };
    let of_b = nodes(b);
    let shared = nodes(a)
        .into_iter()
        .filter(|node| of_b.contains(node))
        .map(|node| map.nodes[&node]);
    shared.min_by(|p, q| metres(*p, near).total_cmp(&metres(*q, near)))
}

#[test]
fn crossings_are_where_they_are() {
    let map = manhattan();
    let off = |(a, b, truth): &(&str, &str, LatLng)| {
        let at = crossing(&map, a, b, *truth).unwrap_or_else(|| panic!("{a} and {b} do not meet"));
        (metres(at, *truth) > 60.0).then(|| {
            format!(
                "{a} and {b} meet at {at:?}, {:.0} m off",
                metres(at, *truth)
            )
        })
    };
    let off: Vec<String> = CROSSINGS.iter().filter_map(off).collect();
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn crossings_agree_with_a_real_extract() {
    let file = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/osm/manhattan.osm.pbf"
    ));
    if !file.exists() {
        println!("skipped: no {}", file.display());
        return;
    }
    let (map, real) = (manhattan(), Map::read(file));
    let mut compared = 0;
    for (a, b, truth) in CROSSINGS {
        let at = crossing(&map, a, b, truth).unwrap();
        // A divided street has several ways in the extract, and uptown none has a name.
        let [to_a, to_b] = [a, b].map(|name| real.metres_to_way(at, |way| way.is("name", name)));
        if to_a < 120.0 && to_b < 120.0 {
            assert!(
                to_a < 60.0 && to_b < 60.0,
                "{to_a:.0} m from {a}, {to_b:.0} m from {b}"
            );
            compared += 1;
        }
    }
    assert!(
        compared >= 10,
        "only {compared} crossings have names in the extract"
    );
}

#[test]
fn all_roads_are_one_strongly_connected_network() {
    let map = manhattan();
    let (largest, total) = (map.connected_parts()[0].0, map.drivable_metres());
    assert!(total > 700_000.0, "{total:.0} m");
    assert!(largest / total >= 0.99, "{largest:.0} of {total:.0} m");
}

#[test]
fn even_streets_run_east_and_odd_ones_west() {
    let map = manhattan();
    let crosstown = [
        14, 23, 34, 42, 57, 72, 79, 86, 96, 106, 110, 116, 125, 135, 145, 155,
    ];
    let mut seen = HashMap::new();
    for way in map.drivable() {
        let Some(number) = way.tags.get("name").and_then(|name| street_number(name)) else {
            continue;
        };
        if !(15..=154).contains(&number) || number == 41 || number == 138 {
            continue; // East Village streets and two others have exceptions
        }
        let line = map.line(way);
        let towards = bearing(line[0], line[line.len() - 1]);
        let oneway = way.is("oneway", "yes");
        assert_eq!(oneway, !crosstown.contains(&number), "{:?}", way.tags);
        let want = if number % 2 == 0 { 119.0 } else { 299.0 };
        assert!(
            !oneway || (towards - want).abs() < 3.0,
            "{:?} runs towards {towards:.0}°",
            way.tags
        );
        seen.insert(number, ());
    }
    assert!(seen.len() > 100, "{}", seen.len());
}

/// The number of `West 34th Street`.
fn street_number(name: &str) -> Option<u32> {
    let number = name
        .strip_prefix("West ")
        .or(name.strip_prefix("East "))?
        .strip_suffix(" Street")?;
    number
        .trim_end_matches(|letter: char| letter.is_alphabetic())
        .parse()
        .ok()
}

#[test]
fn avenues_bear_29_degrees_and_run_one_way_as_signed() {
    let map = manhattan();
    let avenues = [
        ("1st Avenue", 29.0),
        ("2nd Avenue", 209.0),
        ("3rd Avenue", 29.0),
        ("Lexington Avenue", 209.0),
        ("Madison Avenue", 29.0),
        ("5th Avenue", 209.0),
        ("6th Avenue", 29.0),
        ("7th Avenue", 209.0),
        ("8th Avenue", 29.0),
        ("9th Avenue", 209.0),
        ("10th Avenue", 29.0),
        ("Columbus Avenue", 209.0),
        ("Amsterdam Avenue", 29.0),
    ];
    for (name, want) in avenues {
        let long = |way: &&common::Way| {
            metres(
                map.nodes[&way.nodes[0]],
                map.nodes[&way.nodes[way.nodes.len() - 1]],
            ) > 2_000.0
        };
        let mut ways = map
            .ways
            .iter()
            .filter(|way| way.is("name", name) && way.is("oneway", "yes"))
            .filter(long);
        let line = map.line(
            ways.next()
                .unwrap_or_else(|| panic!("no long one-way {name}")),
        );
        let towards = bearing(line[0], line[line.len() - 1]);
        assert!((towards - want).abs() < 2.0, "{name} bears {towards:.1}°");
    }
}

#[test]
fn roads_are_on_land() {
    let map = manhattan();
    let land = map.land(ON_LAND);
    assert!(!land.contains((40.7600, -74.0120)), "the Hudson is land");
    let wet: Vec<_> = map
        .ground_points(20.0)
        .into_iter()
        .filter(|(_, at)| !land.contains(*at))
        .collect();
    assert!(
        wet.is_empty(),
        "{} points in the water, first {:?}",
        wet.len(),
        &wet[..wet.len().min(20)]
    );
}

#[test]
fn at_least_150_places_each_near_a_road() {
    let map = manhattan();
    let land = map.land(ON_LAND);
    let places: Vec<_> = map
        .places
        .iter()
        .filter(|place| !place.tags.contains_key("place"))
        .collect();
    assert!(places.len() >= 150, "{}", places.len());
    let mut bad = Vec::new();
    for place in places {
        let away = map.metres_to_way(place.at, common::Way::is_drivable);
        if away > 150.0 || !land.contains(place.at) {
            bad.push(format!("{}: {away:.0} m from a road", place.tags["name"]));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
