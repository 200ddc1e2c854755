//! What can't work ends the start: status 2, and one line that names the thing and the fix.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::Kind;

fn shipped() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../data/manhattan.osm.pbf"
    ))
}

/// Starts the simulator with these flags and returns what it says on its way out.
fn refused(flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["--metrics-port", "0"])
        .args(flags)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn refused_map(path: &Path) -> String {
    refused(&["--map", path.to_str().unwrap()])
}

/// The smallest whole file: one header block without content.
const EMPTY_MAP: &[u8] = b"\x00\x00\x00\x0d\x0a\x09OSMHeader\x18\x00";

#[test]
fn a_map_that_can_not_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("town.osm.pbf");
    let name = map.to_str().unwrap();

    let missing = refused_map(&map);
    assert!(missing.contains(name) && missing.contains("there is no such file"));
    assert!(missing.contains("--map"), "{missing}");

    let whole = std::fs::read(shipped()).unwrap();
    std::fs::write(&map, &whole[..whole.len() / 2]).unwrap();
    let cut = refused_map(&map);
    let at = format!("cut short at byte {}", whole.len() / 2);
    assert!(cut.contains(name) && cut.contains(&at), "{cut}");

    std::fs::write(&map, b"<osm version='0.6'></osm>").unwrap();
    assert!(refused_map(&map).contains("not an .osm.pbf file"));

    std::fs::write(&map, EMPTY_MAP).unwrap();
    let empty = refused_map(&map);
    assert!(empty.contains(name) && empty.contains("no roads that a taxi can drive"));
}

#[test]
fn a_setting_that_can_not_be_used_is_named() {
    for (flags, expected) in [
        (["--vehicles", "0"], "--vehicles"),
        (["--kind", "boat"], "`boat` is neither taxi nor truck"),
        (["--seeed", "1"], "--seeed"),
        (
            ["--client", "paho"],
            "`paho` is none of auto, rumqttc and lean",
        ),
        (["--topic-prefix", "fleet/+"], "can't begin a topic name"),
    ] {
        let text = refused(&flags);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_damaged_map_is_an_error_or_a_map_but_never_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("town.osm.pbf");
    let whole = std::fs::read(shipped()).unwrap();
    let mut errors = 0;
    for i in 0..60 {
        let mut bytes = whole.clone();
        let at = i * whole.len() / 60;
        bytes[at] ^= 0x55;
        std::fs::write(&map, &bytes).unwrap();
        let result = simulator::map::load(&map, Some(dir.path().join("cache")), Kind::Taxi);
        errors += usize::from(result.is_err());
    }
    assert!(errors > 50, "{errors} of 60 were noticed");
}
