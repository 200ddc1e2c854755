//! The committed files are what the source says, and are valid OSM PBF.

mod common;

use std::collections::HashSet;
use std::process::Command;

use common::{Map, data};

const MAPS: [&str; 2] = ["manhattan", "italy"];

#[test]
fn committed_files_are_what_the_source_compiles_to() {
    for name in MAPS {
        let compiled = map_compile::pbf::write(&map_compile::compile(&data(name)).unwrap());
        let committed = std::fs::read(data(&format!("{name}.osm.pbf"))).unwrap();
        assert!(
            compiled == committed,
            "data/{name}.osm.pbf is old: run `cargo run -p map-compile -- {name}`"
        );
        assert!(
            committed.len() < 1_000_000,
            "{name}: {} bytes",
            committed.len()
        );
    }
}

#[test]
fn every_reference_is_there_and_ids_are_sorted() {
    for name in MAPS {
        let map = Map::read(&data(&format!("{name}.osm.pbf")));
        assert!(
            map.order.is_sorted() && map.order.iter().all(|(_, id)| *id > 0),
            "{name}"
        );
        assert_eq!(
            map.order.iter().collect::<HashSet<_>>().len(),
            map.order.len(),
            "{name}: an id twice"
        );
        for way in &map.ways {
            assert!(way.nodes.len() > 1, "{name}: {:?}", way.tags);
            assert!(
                way.nodes.iter().all(|id| map.nodes.contains_key(id)),
                "{name}: {:?}",
                way.tags
            );
        }
    }
}

#[test]
fn coastlines_are_closed_or_end_at_the_edge() {
    for name in MAPS {
        let map = map_compile::compile(&data(name)).unwrap();
        let [south_west, north_east] = map.bounds;
        let mut islands = 0;
        for way in map.ways.iter().filter(|way| {
            way.tags
                .get("natural")
                .is_some_and(|value| value == "coastline")
        }) {
            let ends = [way.nodes[0], way.nodes[way.nodes.len() - 1]];
            if ends[0] == ends[1] {
                islands += 1;
                continue;
            }
            for end in ends {
                let at = map.nodes[end as usize - 1].position;
                let on_edge = [south_west.lat, north_east.lat].contains(&at.lat)
                    || [south_west.lng, north_east.lng].contains(&at.lng);
                assert!(on_edge, "{name}: {:?} ends at {at:?}", way.tags);
            }
        }
        assert!(islands > 0, "{name}");
    }
}

#[test]
fn osmium_accepts_the_files() {
    if Command::new("osmium").arg("--version").output().is_err() {
        println!("skipped: no osmium on PATH; `apt-get install osmium-tool` gets it");
        return;
    }
    for name in MAPS {
        let file = data(&format!("{name}.osm.pbf"));
        let info = Command::new("osmium")
            .args(["fileinfo", "-e"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(info.stdout).unwrap();
        assert!(
            info.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&info.stderr)
        );
        assert!(
            text.contains("Objects ordered (by type and id): yes"),
            "{name}: {text}"
        );
        let refs = Command::new("osmium")
            .arg("check-refs")
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            refs.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&refs.stderr)
        );
    }
}
