//! The Grafana dashboards: they parse, and each panel says what it shows with metrics that the parts have.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let folder = root().join("grafana/dashboards");
    let dashboards: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let json = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, json)
        })
        .collect();
    assert!(!dashboards.is_empty());
    dashboards
}

#[test]
fn uids_are_unique_and_all_panels_are_complete() {
    let mut uids = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        let path = path.display();
        let uid = dashboard["uid"].as_str().unwrap();
        assert!(uids.insert(uid.to_owned()), "{path}: uid {uid} twice");
        // Grafana gives the dashboard a number of its own.
        assert!(dashboard["id"].is_null(), "{path}");
        assert!(dashboard["schemaVersion"].is_u64(), "{path}");

        let mut ids = BTreeSet::new();
        let panels = dashboard["panels"].as_array().unwrap();
        assert!(!panels.is_empty(), "{path}");
        for panel in panels {
            let title = panel["title"].as_str().unwrap();
            let id = panel["id"].as_u64().unwrap();
            assert!(ids.insert(id), "{path}: panel id {id} twice");
            assert!(panel["description"].as_str().unwrap().len() > 10, "{title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string(), "{title} has no unit");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{title} asks for nothing");
            for target in targets.iter().chain([panel]) {
                assert_eq!(target["datasource"]["uid"], "prometheus", "{title}");
            }
        }
        assert_eq!(overlapping(panels), None, "{path}");
    }
}

/// The titles of two panels that share a place.
fn overlapping(panels: &[Value]) -> Option<(&Value, &Value)> {
    let span = |panel: &Value, start: &str, length: &str| {
        let place = &panel["gridPos"];
        let start = place[start].as_u64().unwrap();
        (start, start + place[length].as_u64().unwrap())
    };
    let meet = |a: (u64, u64), b: (u64, u64)| a.0 < b.1 && b.0 < a.1;
    panels.iter().enumerate().find_map(|(i, a)| {
        panels[..i]
            .iter()
            .find(|b| {
                meet(span(a, "x", "w"), span(b, "x", "w"))
                    && meet(span(a, "y", "h"), span(b, "y", "h"))
            })
            .map(|b| (&a["title"], &b["title"]))
    })
}

/// Prefix of the metrics' names, and the source that names them without it.
const PARTS: [(&str, &str, &str); 4] = [
    ("mqtt_", "", "broker/src/metrics.rs"),
    ("simulator_", "simulator_", "simulator/src/metrics.rs"),
    ("aggregator_", "aggregator_", "aggregator/src/metrics.rs"),
    ("web_ui_", "web_ui_", "web-ui/src/metrics.rs"),
];

#[test]
fn every_query_asks_for_metrics_that_a_part_has() {
    let sources = PARTS.map(|(.., path)| fs::read_to_string(root().join(path)).unwrap());
    let mut asked = 0;
    for (path, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expr = target["expr"].as_str().unwrap();
                let names = metrics(expr);
                assert!(!names.is_empty(), "{}: no metric in {expr}", path.display());
                for (part, name) in names {
                    asked += 1;
                    let (_, prefix, source) = PARTS[part];
                    let bare = name.strip_prefix(prefix).unwrap();
                    let registered = ["", "_total", "_bucket"]
                        .iter()
                        .filter_map(|suffix| bare.strip_suffix(suffix))
                        .any(|bare| sources[part].contains(&format!("\"{bare}\"")));
                    assert!(registered, "{}: {source} has no {name}", path.display());
                }
            }
        }
    }
    assert!(asked > 10);
}

/// The names in a query that begin with a part's prefix, each with the part's index.
fn metrics(expr: &str) -> Vec<(usize, &str)> {
    expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter_map(|word| {
            let part = PARTS
                .iter()
                .position(|(prefix, ..)| word.starts_with(prefix))?;
            Some((part, word))
        })
        .collect()
}
