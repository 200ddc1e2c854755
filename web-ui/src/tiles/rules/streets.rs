//! Everything that moves on lines: streets, railways, runways, ferries; and their labels.

use super::{Draft, Shape, Subject, is_bridge, is_tunnel};
use crate::tiles::pbf::Tags;
use crate::tiles::schema::Layer;

/// A class of line: its tag, the first zoom level of the line and of its label, and its place in the drawing order.
struct Class {
    key: &'static str,
    value: &'static str,
    line_zoom: u8,
    label_zoom: u8,
    rank: i32,
}

const fn class(
    key: &'static str,
    value: &'static str,
    line_zoom: u8,
    label_zoom: u8,
    rank: i32,
) -> Class {
    Class {
        key,
        value,
        line_zoom,
        label_zoom,
        rank,
    }
}

const CLASSES: &[Class] = &[
    class("highway", "motorway", 5, 10, 15),
    class("highway", "trunk", 6, 12, 14),
    class("highway", "primary", 8, 12, 13),
    class("highway", "secondary", 9, 13, 12),
    class("highway", "tertiary", 10, 13, 11),
    class("highway", "unclassified", 12, 14, 10),
    class("highway", "residential", 12, 14, 10),
    class("highway", "busway", 12, 14, 10),
    class("highway", "bus_guideway", 12, 14, 10),
    class("highway", "living_street", 13, 14, 9),
    class("highway", "pedestrian", 13, 14, 8),
    class("highway", "service", 13, 14, 7),
    class("highway", "track", 13, 14, 6),
    class("highway", "cycleway", 13, 14, 5),
    class("highway", "path", 13, 14, 4),
    class("highway", "footway", 13, 14, 4),
    class("highway", "steps", 13, 14, 4),
    class("railway", "rail", 8, 10, 16),
    class("railway", "narrow_gauge", 8, 10, 16),
    class("railway", "light_rail", 10, 10, 16),
    class("railway", "tram", 10, 10, 16),
    class("railway", "subway", 10, 10, 16),
    class("railway", "funicular", 10, 10, 16),
    class("railway", "monorail", 10, 10, 16),
    class("aeroway", "runway", 11, 11, 3),
    class("aeroway", "taxiway", 13, 13, 2),
    // Not in the schema's table, but nobody should miss a road because its tagger could not tell its class.
    class("highway", "road", 12, 14, 10),
    class("highway", "raceway", 13, 14, 7),
];

/// Classes that are drawn as areas when mapped so.
const AREAS: &[(&str, &str, u8)] = &[
    ("highway", "pedestrian", 14),
    ("highway", "service", 14),
    ("aeroway", "runway", 11),
    ("aeroway", "taxiway", 13),
];

pub(super) fn drafts<'a>(tags: &Tags<'a>, subject: Subject, drafts: &mut Vec<Draft<&'a str>>) {
    match subject {
        Subject::Node => junction(tags, drafts),
        _ if subject.is_said_area(tags) => areas(tags, drafts),
        Subject::Line | Subject::Ring => lines(tags, drafts),
        Subject::Area => {}
    }
}

fn junction<'a>(tags: &Tags<'a>, drafts: &mut Vec<Draft<&'a str>>) {
    if tags.is("highway", &["motorway_junction"]) {
        drafts.push(
            Draft::new(Layer::StreetLabelsPoints, Shape::Point, 12)
                .text("kind", "motorway_junction")
                .names(tags)
                .copy(tags, &["ref"]),
        );
    }
}

fn areas<'a>(tags: &Tags<'a>, drafts: &mut Vec<Draft<&'a str>>) {
    let Some(&(_, kind, min_zoom)) = AREAS.iter().find(|(key, value, _)| tags.is(key, &[value]))
    else {
        return;
    };
    drafts.push(
        Draft::new(Layer::StreetPolygons, Shape::Area, min_zoom)
            .rank(level(tags))
            .text("kind", kind)
            .tunnel(tags)
            .bridge(tags)
            .copy(tags, &["service", "surface"]),
    );
    if tags.get("name").is_some() {
        drafts.push(
            Draft::new(Layer::StreetsPolygonsLabels, Shape::Point, 14)
                .text("kind", kind)
                .names(tags),
        );
    }
}

fn lines<'a>(tags: &Tags<'a>, drafts: &mut Vec<Draft<&'a str>>) {
    if tags.is("route", &["ferry"]) {
        let min_zoom = if tags.is("motor_vehicle", &["no"]) {
            12
        } else {
            10
        };
        let ferry = Draft::new(Layer::Ferries, Shape::Line, min_zoom).text("kind", "ferry");
        drafts.push(ferry.names(tags));
    }
    let found = CLASSES.iter().find_map(|class| {
        let value = tags.get(class.key)?;
        let is_link = value.strip_suffix("_link") == Some(class.value);
        (value == class.value || is_link).then_some((class, is_link))
    });
    let Some((class, is_link)) = found else {
        return;
    };
    let is_rail = class.key == "railway";
    let is_yard = is_rail && class.line_zoom < 10 && tags.get("service").is_some();
    let line_zoom = if is_yard { 10 } else { class.line_zoom };
    let (oneway, reverse) = if is_rail {
        (false, false)
    } else {
        oneway(tags)
    };
    drafts.push(
        Draft::new(Layer::Streets, Shape::Line, line_zoom)
            .rank(level(tags) + class.rank - if is_link { 1 } else { 0 })
            .text("kind", class.value)
            .flag("link", is_link)
            .flag("rail", is_rail)
            .tunnel(tags)
            .bridge(tags)
            .flag("oneway", oneway)
            .flag("oneway_reverse", reverse)
            .copy(
                tags,
                &["service", "tracktype", "surface", "bicycle", "horse"],
            ),
    );
    let Some(kind) = tags.get(class.key) else {
        return;
    };
    let label_zoom = match (is_link, class.label_zoom) {
        (false, zoom) => zoom,
        (true, zoom) => (zoom + 1).clamp(13, 14),
    };
    if tags.get("name").is_some() || tags.get("ref").is_some() {
        let label = Draft::new(Layer::StreetLabels, Shape::Line, label_zoom)
            .text("kind", kind)
            .names(tags);
        drafts.push(shield(label, tags).tunnel(tags));
    }
}

/// The number of the road. The schema counts its lines and columns, so that a style can choose a sign of that size.
fn shield<'a>(label: Draft<&'a str>, tags: &Tags<'a>) -> Draft<&'a str> {
    let Some(number) = tags.get("ref") else {
        return label;
    };
    let rows = number.split(';').count();
    let columns = number
        .split(';')
        .map(|row| row.trim().chars().count())
        .max()
        .unwrap_or(0);
    label
        .text("ref", number)
        .number("ref_rows", rows as f64)
        .number("ref_cols", columns as f64)
}

/// Whether traffic goes one way only, and whether that is against the way's direction. Motorways and roundabouts are
/// one-way unless they say otherwise.
fn oneway(tags: &Tags<'_>) -> (bool, bool) {
    match tags.get("oneway") {
        Some("yes" | "1" | "true") => (true, false),
        Some("-1" | "reverse") => (true, true),
        Some(_) => (false, false),
        None => {
            let implied = tags.is("highway", &["motorway", "motorway_link"])
                || tags.is("junction", &["roundabout", "circular"]);
            (implied, false)
        }
    }
}

/// The height at which it lies, as the upper part of its rank: tunnels below the ground, bridges above it.
fn level(tags: &Tags<'_>) -> i32 {
    let implied = i32::from(is_bridge(tags)) - i32::from(is_tunnel(tags));
    let layer = tags
        .get("layer")
        .and_then(|layer| layer.parse().ok())
        .unwrap_or(implied);
    100 * layer.clamp(-5, 5)
}
