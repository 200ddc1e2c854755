//! `data/fetch` against a mirror that is a folder: what it keeps, what it refuses, what it says.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::data;

/// A mirror with one region, `monaco`, and a folder to download to.
struct Mirror {
    root: PathBuf,
}

impl Mirror {
    fn new(test: &str, content: &[u8], md5: &str) -> Option<Mirror> {
        for tool in ["bash", "curl", "md5sum"] {
            if Command::new(tool).arg("--version").output().is_err() {
                println!("skipped: no {tool} on PATH; install it to test data/fetch");
                return None;
            }
        }
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fetch-{test}"));
        let build = || {
            if root.exists() {
                std::fs::remove_dir_all(&root)?;
            }
            std::fs::create_dir_all(root.join("mirror/europe"))?;
            std::fs::create_dir_all(root.join("extracts"))?;
            let file = root.join("mirror/europe/monaco-latest.osm.pbf");
            std::fs::write(&file, content)?;
            std::fs::write(
                file.with_extension("pbf.md5"),
                format!("{md5}  monaco.osm.pbf\n"),
            )
        };
        build().expect("the target folder can be written");
        Some(Mirror { root })
    }

    fn fetch(&self, name: &str) -> Output {
        let mut command = Command::new("bash");
        command.arg(data("fetch")).arg(name);
        command.env(
            "MAP_MIRROR",
            format!("file://{}", self.root.join("mirror").display()),
        );
        command
            .env("MAP_EXTRACTS", self.root.join("extracts"))
            .output()
            .expect("bash runs")
    }

    fn extract(&self, name: &str) -> PathBuf {
        self.root.join("extracts").join(name)
    }
}

/// MD5 of `abc` [RFC 1321, A.5].
const MD5_ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_with_the_right_md5_is_kept() {
    let Some(mirror) = Mirror::new("right", b"abc", MD5_ABC) else {
        return;
    };
    let output = mirror.fetch("monaco");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        std::fs::read(mirror.extract("monaco.osm.pbf")).unwrap(),
        b"abc"
    );
    let again = mirror.fetch("monaco");
    assert!(
        String::from_utf8(again.stdout)
            .unwrap()
            .contains("up to date")
    );
}

#[test]
fn a_broken_download_is_resumed() {
    let Some(mirror) = Mirror::new("resume", b"abc", MD5_ABC) else {
        return;
    };
    std::fs::write(mirror.extract("monaco.osm.pbf.part"), b"ab").unwrap();
    std::fs::write(mirror.extract("monaco.osm.pbf.part.md5"), MD5_ABC).unwrap();
    let output = mirror.fetch("monaco");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        std::fs::read(mirror.extract("monaco.osm.pbf")).unwrap(),
        b"abc"
    );
}

#[test]
fn a_file_with_another_md5_is_refused() {
    let Some(mirror) = Mirror::new("wrong", b"abd", MD5_ABC) else {
        return;
    };
    let output = mirror.fetch("monaco");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("came with another MD5"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        std::fs::read_dir(mirror.root.join("extracts"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn without_a_network_it_names_the_url_and_the_way_out() {
    let Some(mirror) = Mirror::new("offline", b"abc", MD5_ABC) else {
        return;
    };
    let output = mirror.fetch("malta");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("europe/malta-latest.osm.pbf") && said.contains("--map"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_unknown_name_lists_the_names() {
    let Some(mirror) = Mirror::new("unknown", b"abc", MD5_ABC) else {
        return;
    };
    let output = mirror.fetch("atlantis");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("berlin") && stderr(&output).contains("new-york"),
        "{}",
        stderr(&output)
    );
}
