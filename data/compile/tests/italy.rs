//! The model of Italy: cities, connected parts, nothing in the sea.

mod common;

use common::{LatLng, Map, data, metres};

/// On the Campidoglio.
const ON_LAND: LatLng = (41.8933, 12.4829);

fn italy() -> Map {
    Map::read(&data("italy.osm.pbf"))
}

#[test]
fn cities_are_where_they_are() {
    let map = italy();
    let cities: Vec<_> = map
        .places
        .iter()
        .filter(|place| place.tags.contains_key("place"))
        .collect();
    assert!(cities.len() >= 120, "{}", cities.len());
    assert!(
        cities
            .iter()
            .all(|city| city.tags.contains_key("population") && city.tags.contains_key("name"))
    );
    let truth = [
        ("Roma", (41.8931, 12.4828)),
        ("Milano", (45.4641, 9.1896)),
        ("Napoli", (40.8522, 14.2681)),
        ("Palermo", (38.1112, 13.3524)),
        ("Cagliari", (39.2171, 9.1133)),
        ("Trieste", (45.6496, 13.7680)),
        ("Lecce", (40.3548, 18.1724)),
        ("Bolzano", (46.4981, 11.3548)),
        ("Aosta", (45.7370, 7.3196)),
        ("Reggio Calabria", (38.1035, 15.6398)),
    ];
    for (name, at) in truth {
        let city = cities
            .iter()
            .find(|city| city.tags["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert!(
            metres(city.at, at) < 3_000.0,
            "{name} is {:.0} m off",
            metres(city.at, at)
        );
    }
}

#[test]
fn mainland_sicily_and_sardinia_are_each_connected() {
    let map = italy();
    let parts = map.connected_parts();
    let total = map.drivable_metres();
    let three: f64 = parts[..3].iter().map(|(metres, _)| metres).sum();
    assert!(three / total > 0.99, "{three:.0} of {total:.0} m");
    let part_at = |at: LatLng| {
        let distance = |id: &i64| metres(map.nodes[id], at);
        let nearest = |nodes: &Vec<i64>| nodes.iter().map(distance).fold(f64::MAX, f64::min);
        (0..3)
            .min_by(|&i, &j| nearest(&parts[i].1).total_cmp(&nearest(&parts[j].1)))
            .unwrap()
    };
    let (mainland, sicily, sardinia) = (
        part_at((41.89, 12.48)),
        part_at((37.5, 14.0)),
        part_at((40.0, 9.0)),
    );
    assert!(mainland != sicily && sicily != sardinia && sardinia != mainland);
    for city in map
        .places
        .iter()
        .filter(|place| place.tags.contains_key("place"))
    {
        let (lat, lng) = city.at;
        let want = match (lat, lng) {
            (..41.4, ..10.0) => sardinia,
            (..38.35, ..15.6) => sicily,
            _ => mainland,
        };
        let name = &city.tags["name"];
        assert_eq!(part_at(city.at), want, "{name}");
        let away = parts[want]
            .1
            .iter()
            .map(|id| metres(map.nodes[id], city.at))
            .fold(f64::MAX, f64::min);
        assert!(away < 50.0, "{name} is {away:.0} m from its network");
    }
}

#[test]
fn roads_and_places_are_on_land() {
    let map = italy();
    let land = map.land(ON_LAND);
    for sea in [(40.0, 12.0), (43.0, 15.0), (45.60, 10.65), (38.21, 15.61)] {
        assert!(!land.contains(sea), "{sea:?} is land");
    }
    let mut points = map.ground_points(500.0);
    points.extend(
        map.places
            .iter()
            .map(|place| (place.tags["name"].clone(), place.at)),
    );
    let wet: Vec<_> = points
        .into_iter()
        .filter(|(_, at)| !land.contains(*at))
        .collect();
    let mut names: Vec<&str> = wet.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    assert!(
        wet.is_empty(),
        "{} points in the water: {names:#?} {:#?}",
        wet.len(),
        &wet[..wet.len().min(40)]
    );
}

#[test]
fn every_city_has_two_places_near_its_roads() {
    let map = italy();
    let is_end = |place: &&common::Place| !place.tags.contains_key("place");
    for end in map.places.iter().filter(is_end) {
        let away = map.metres_to_way(end.at, common::Way::is_drivable);
        assert!(away < 150.0, "{:?} is {away:.0} m from a road", end.tags);
    }
    for city in map
        .places
        .iter()
        .filter(|place| place.tags.contains_key("place"))
    {
        let near = map
            .places
            .iter()
            .filter(is_end)
            .filter(|end| metres(end.at, city.at) < 20_000.0)
            .count();
        assert!(near >= 2, "{} has {near} places", city.tags["name"]);
    }
}

#[test]
fn motorways_are_divided_and_limited() {
    let map = italy();
    let motorways: Vec<_> = map
        .ways
        .iter()
        .filter(|way| way.is("highway", "motorway"))
        .collect();
    assert!(motorways.len() > 60, "{}", motorways.len());
    for way in motorways {
        assert!(
            way.is("oneway", "yes") && way.is("maxspeed", "130") && way.is("maxspeed:hgv", "80"),
            "{:?}",
            way.tags
        );
    }
}
