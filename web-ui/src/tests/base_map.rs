//! What is on the tiles of the shipped map and of real extracts.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::StatusCode;
use prost::Message;
use service::Shutdown;
use tinymvt::geometry::GeometryDecoder;
use tinymvt::vector_tile::{Tile, tile};
use tinymvt::webmercator::lnglat_to_web_mercator;

use super::{body, get, real_extract, shipped_manhattan, web_ui};
use crate::{Config, WebUi};

/// The tile that holds a position, and where on its grid.
async fn tile_at(router: &Router, z: u8, lng: f64, lat: f64) -> (Tile, [f64; 2]) {
    let (x, y) = lnglat_to_web_mercator(lng, lat);
    let size = f64::from(1u32 << z);
    let (x, y) = (x * size, y * size);
    let path = format!("/tiles/{z}/{}/{}.mvt", x.floor(), y.floor());
    let response = get(router, &path, &[]).await;
    assert!(
        matches!(response.status(), StatusCode::OK | StatusCode::NO_CONTENT),
        "{path}"
    );
    let tile = Tile::decode(&body(response).await[..]).unwrap();
    (tile, [x.fract() * 4096.0, y.fract() * 4096.0])
}

fn layer<'a>(tile: &'a Tile, name: &str) -> Option<&'a tile::Layer> {
    tile.layers.iter().find(|layer| layer.name == name)
}

/// The attributes of each feature of a layer, as text.
fn features(layer: &tile::Layer) -> Vec<BTreeMap<String, String>> {
    let text = |value: &tile::Value| {
        value
            .string_value
            .clone()
            .or(value.bool_value.map(|v| v.to_string()))
            .or(value.uint_value.map(|v| v.to_string()))
            .or(value.float_value.map(|v| v.to_string()))
            .unwrap()
    };
    let pair = |pair: &[u32]| {
        let [key, value] = [pair[0] as usize, pair[1] as usize];
        (layer.keys[key].clone(), text(&layer.values[value]))
    };
    layer
        .features
        .iter()
        .map(|feature| feature.tags.chunks(2).map(pair).collect())
        .collect()
}

/// Whether an area of the layer covers the position, by the even-odd rule over all rings.
async fn covers(router: &Router, name: &str, z: u8, lng: f64, lat: f64) -> bool {
    let (tile, [px, py]) = tile_at(router, z, lng, lat).await;
    let Some(layer) = layer(&tile, name) else {
        return false;
    };
    let crossings = layer
        .features
        .iter()
        .flat_map(|feature| {
            assert_eq!(feature.r#type(), tile::GeomType::Polygon);
            GeometryDecoder::new(&feature.geometry)
                .decode_polygons()
                .unwrap()
        })
        .flatten()
        .flat_map(|ring| {
            let next: Vec<_> = ring
                .iter()
                .cycle()
                .skip(1)
                .take(ring.len())
                .copied()
                .collect();
            ring.into_iter().zip(next)
        })
        .filter(|(a, b)| {
            let ([ax, ay], [bx, by]) = (a.map(f64::from), b.map(f64::from));
            (ay > py) != (by > py) && px < ax + (py - ay) / (by - ay) * (bx - ax)
        })
        .count();
    crossings % 2 == 1
}

/// Checks at several zoom levels that the sea is where it should be.
async fn check_sea(router: &Router, wet: &[(&str, f64, f64)], dry: &[(&str, f64, f64)]) {
    for z in [9, 11, 14] {
        for &(place, lng, lat) in wet {
            assert!(
                covers(router, "ocean", z, lng, lat).await,
                "{place} should be sea at level {z}"
            );
        }
        for &(place, lng, lat) in dry {
            assert!(
                !covers(router, "ocean", z, lng, lat).await,
                "{place} should be land at level {z}"
            );
        }
    }
}

#[tokio::test]
async fn the_shipped_manhattan_has_its_rivers_parks_and_streets() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    check_sea(
        &router,
        &[
            ("the Hudson", -74.015, 40.745),
            ("the East River", -73.968, 40.735),
            ("the bay", -74.02, 40.695),
        ],
        &[
            ("City Hall", -74.006, 40.7128),
            ("Harlem", -73.945, 40.81),
            ("Jersey City", -74.045, 40.72),
        ],
    )
    .await;
    assert!(
        covers(&router, "land", 13, -73.966, 40.779).await,
        "Central Park"
    );
    let (tile, _) = tile_at(&router, 14, -73.985, 40.758).await;
    let streets = features(layer(&tile, "streets").unwrap());
    assert!(streets.iter().any(|street| street.contains_key("oneway")));
    assert!(streets.iter().all(|street| street.contains_key("kind")));
    let labels = features(layer(&tile, "street_labels").unwrap());
    assert!(
        labels.iter().any(|label| label
            .get("name")
            .is_some_and(|name| name.contains("Broadway"))),
        "{labels:?}"
    );
    // The far view has water and few lines.
    let (tile, _) = tile_at(&router, 6, -73.985, 40.758).await;
    assert!(layer(&tile, "ocean").is_some() && layer(&tile, "buildings").is_none());
    let kinds = features(layer(&tile, "streets").unwrap());
    assert!(
        kinds
            .iter()
            .all(|street| matches!(street["kind"].as_str(), "motorway" | "trunk"))
    );
}

#[tokio::test]
async fn the_rivers_around_lower_manhattan_come_from_coastlines() {
    let Some(map) = real_extract("lower-manhattan.osm.pbf") else {
        return;
    };
    let router = web_ui(&map, &[]).await;
    check_sea(
        &router,
        &[
            ("the Hudson", -74.020, 40.715),
            ("the East River", -73.990, 40.7055),
            ("the bay", -74.02, 40.698),
        ],
        &[
            ("City Hall", -74.006, 40.7128),
            ("Brooklyn", -73.985, 40.699),
            ("the Lower East Side", -73.985, 40.718),
        ],
    )
    .await;
    let (tile, _) = tile_at(&router, 14, -74.006, 40.7128).await;
    let names: Vec<&str> = tile
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    for name in [
        "ocean",
        "land",
        "buildings",
        "streets",
        "street_labels",
        "pois",
        "public_transport",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(
        covers(&router, "buildings", 14, -74.01340, 40.71290).await,
        "One World Trade Center"
    );
    let (tile, _) = tile_at(&router, 13, -74.006, 40.7128).await;
    assert!(layer(&tile, "buildings").is_none() && layer(&tile, "pois").is_none());
}

/// Its coastlines have gaps and end in midtown, where the detailed data ends.
#[tokio::test]
async fn a_coastline_with_gaps_keeps_the_island_dry() {
    let Some(map) = real_extract("manhattan.osm.pbf") else {
        return;
    };
    let router = web_ui(&map, &[]).await;
    check_sea(
        &router,
        &[
            ("the Hudson", -74.015, 40.745),
            ("the Hudson at the gap", -74.016, 40.732),
            ("the East River", -73.968, 40.735),
            ("the bay", -74.02, 40.698),
        ],
        &[
            ("City Hall", -74.006, 40.7128),
            ("Midtown", -73.985, 40.748),
            ("the gap's east", -74.005, 40.732),
            ("Harlem", -73.945, 40.81),
            ("Greenpoint", -73.950, 40.725),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_city_without_a_coast_has_no_sea() {
    let Some(map) = real_extract("milan.osm.pbf") else {
        return;
    };
    let router = web_ui(&map, &[]).await;
    for z in [0, 8, 12, 14] {
        let (tile, _) = tile_at(&router, z, 9.19, 45.464).await;
        assert!(layer(&tile, "ocean").is_none());
        assert!(z < 5 || layer(&tile, "streets").is_some());
    }
}

/// A header may hold the box of another extract; the map's box is where its nodes are.
#[tokio::test]
async fn a_box_that_misses_most_nodes_is_not_believed() {
    let Some(map) = real_extract("rhein-neckar.osm.pbf") else {
        return;
    };
    let router = web_ui(&map, &[]).await;
    let config = body(get(&router, "/api/config", &[]).await).await;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let west = config["map"]["bounds"][0].as_f64().unwrap();
    assert!((8.15..8.17).contains(&west), "{config}");
    assert_eq!(config["map"]["attribution"], "© OpenStreetMap contributors");
}

#[tokio::test]
async fn a_map_that_cannot_be_read_is_a_bad_setting_on_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(shipped_manhattan()).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0xff;
    for (name, content, expected) in [
        ("cut", &whole[..whole.len() - 10], "it is cut short at byte"),
        (
            "text",
            b"hello, this is no map\n".as_slice(),
            "it is not an OpenStreetMap PBF file",
        ),
        ("empty", b"", "it is not an OpenStreetMap PBF file"),
        ("damaged", &damaged, "is damaged"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = start(&path).await;
        let message = error.to_string();
        assert!(error.is::<service::BadSetting>(), "{message}");
        assert!(
            message.contains(expected) && message.contains(name),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let error = start(&dir.path().join("nowhere")).await.to_string();
    assert!(error.contains("can't read it: No such file"), "{error}");
}

async fn start(map: &std::path::Path) -> anyhow::Error {
    let flags = ["web-ui", "--port", "0", "--map", map.to_str().unwrap()];
    let config = <Config as clap::Parser>::try_parse_from(flags).unwrap();
    match WebUi::start(config, Shutdown::new()).await {
        Ok(_) => panic!("{} was taken for a map", map.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn it_starts_says_what_it_serves_and_stops() {
    let map = shipped_manhattan();
    let flags = ["web-ui", "--port", "0", "--map", map.to_str().unwrap()];
    let config = <Config as clap::Parser>::try_parse_from(flags).unwrap();
    let shutdown = Shutdown::new();
    let web_ui = WebUi::start(config.clone(), shutdown.clone())
        .await
        .unwrap();
    assert!(
        web_ui.summary().starts_with("map Manhattan: "),
        "{}",
        web_ui.summary()
    );
    let taken = Config {
        port: web_ui.addr().port(),
        ..config
    };
    let error = WebUi::start(taken, Shutdown::new()).await.err().unwrap();
    assert!(error.to_string().contains("the port is in use"), "{error}");
    assert!(!error.is::<service::BadSetting>());
    shutdown.cancel();
    web_ui.finished().await.unwrap();
}
