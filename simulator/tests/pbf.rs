//! A small real file, as osmium writes it: what a map says of turns and barriers is read.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use fleet::Kind;
use simulator::map::pbf;
use simulator::map::restriction::{Restriction, Via};

/// A junction (2) of ways from the west (10), to the east (11) and to the north (12). Node 5 on the way north is blocked.
/// The last two relations name a way that is not there.
const TOWN: &str = "\
n1 v1 x0.000 y0
n2 v1 x0.001 y0
n3 v1 x0.002 y0
n4 v1 x0.001 y0.002
n5 v1 Tbarrier=block x0.001 y0.001
w10 v1 Thighway=residential Nn1,n2
w11 v1 Thighway=residential Nn2,n3
w12 v1 Thighway=residential Nn2,n5,n4
r20 v1 Ttype=restriction,restriction=no_left_turn Mw10@from,n2@via,w12@to
r21 v1 Ttype=restriction,restriction=only_straight_on Mw12@from,w11@via,w10@to
r22 v1 Ttype=restriction,restriction=no_u_turn Mw10@from,w99@via,w11@to
r23 v1 Ttype=restriction,restriction=no_left_turn Mw10@from,n2@via,w99@to
";

#[test]
fn restrictions_and_barriers_are_read() {
    if Command::new("osmium").arg("--version").output().is_err() {
        println!("skipped: no osmium on PATH; `apt-get install osmium-tool` gets it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (text, file) = (dir.path().join("town.opl"), dir.path().join("town.osm.pbf"));
    std::fs::write(&text, TOWN).unwrap();
    let written = Command::new("osmium")
        .args([
            "cat".as_ref(),
            text.as_os_str(),
            "-o".as_ref(),
            file.as_os_str(),
        ])
        .status()
        .unwrap();
    assert!(written.success());

    let extract = pbf::read(&file, Kind::Taxi).unwrap();
    let restriction = |only, from, via, to| Restriction {
        only,
        from: vec![from],
        via,
        to: vec![to],
    };
    assert_eq!(
        extract.restrictions,
        [
            restriction(false, 0, Via::Node(1), 2),
            restriction(true, 2, Via::Ways(vec![1]), 0),
        ]
    );
    let ways: Vec<_> = extract.ways.iter().map(|way| &way.nodes[..]).collect();
    assert_eq!(ways[..2], [[Some(0), Some(1)], [Some(1), Some(2)]]);
    // The blocked node is the end of a road on either side of it, and the two do not meet.
    let gap = ways[2].iter().position(Option::is_none).unwrap();
    let (before, after) = (ways[2][gap - 1].unwrap(), ways[2][gap + 1].unwrap());
    assert_ne!(before, after);
    assert_eq!(
        extract.points[before as usize],
        extract.points[after as usize]
    );
    assert_eq!((ways[2][0], ways[2].last()), (Some(1), Some(&Some(3))));
}
