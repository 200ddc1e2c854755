//! Water, and what is built into it. The sea comes from coastlines, see [`super::super::coastline`].

use super::{Draft, Shape, Subject, find};
use crate::tiles::pbf::Tags;
use crate::tiles::schema::Layer;

/// Tag, kind and first zoom level of water that is an area.
const AREAS: &[(&str, &str, &str, u8)] = &[
    ("natural", "glacier", "glacier", 4),
    ("water", "river", "river", 4),
    ("natural", "water", "water", 4),
    ("waterway", "riverbank", "river", 4),
    ("landuse", "reservoir", "reservoir", 4),
    ("landuse", "basin", "basin", 4),
    ("waterway", "dock", "dock", 10),
    ("waterway", "canal", "canal", 10),
    ("waterway", "river", "river", 10),
];

/// Waterways that are lines; their labels come with level 12 at the earliest.
const LINES: &[(&str, &str, &str, u8)] = &[
    ("waterway", "river", "river", 9),
    ("waterway", "canal", "canal", 9),
    ("waterway", "stream", "stream", 14),
    ("waterway", "ditch", "ditch", 14),
];

const PIERS: &[(&str, &str, &str, u8)] = &[
    ("man_made", "pier", "pier", 12),
    ("man_made", "breakwater", "breakwater", 12),
    ("man_made", "groyne", "groyne", 12),
];

pub(super) fn drafts<'a>(tags: &Tags<'a>, subject: Subject, drafts: &mut Vec<Draft<&'a str>>) {
    let is_line = matches!(subject, Subject::Line | Subject::Ring);
    // A closed river or canal is a line that goes round, unless it says otherwise.
    let is_water_area = match tags.get("waterway") {
        Some("river" | "canal") => subject.is_said_area(tags),
        _ => subject.is_area(tags),
    };
    if is_water_area {
        if let Some(&(.., kind, min_zoom)) = find(AREAS, tags) {
            let new = |layer, shape| Draft::new(layer, shape, min_zoom).text("kind", kind);
            drafts.push(new(Layer::WaterPolygons, Shape::Area));
            if tags.get("name").is_some() {
                drafts.push(new(Layer::WaterPolygonsLabels, Shape::Point).names(tags));
            }
        }
    } else if is_line && let Some(&(.., kind, min_zoom)) = find(LINES, tags) {
        let new = |layer, min_zoom| Draft::new(layer, Shape::Line, min_zoom).text("kind", kind);
        drafts.push(new(Layer::WaterLines, min_zoom).tunnel(tags).bridge(tags));
        if tags.get("name").is_some() {
            let label = new(Layer::WaterLinesLabels, min_zoom.max(12)).names(tags);
            drafts.push(label.tunnel(tags).bridge(tags));
        }
    }
    let line_or_area = if subject.is_area(tags) {
        Some((Layer::DamPolygons, Layer::PierPolygons, Shape::Area))
    } else {
        is_line.then_some((Layer::DamLines, Layer::PierLines, Shape::Line))
    };
    let Some((dam, pier, shape)) = line_or_area else {
        return;
    };
    if tags.is("waterway", &["dam"]) {
        drafts.push(Draft::new(dam, shape, 12).text("kind", "dam"));
    }
    if let Some(&(.., kind, min_zoom)) = find(PIERS, tags) {
        drafts.push(Draft::new(pier, shape, min_zoom).text("kind", kind));
    }
}
