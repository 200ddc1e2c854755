//! Places where people live, and the borders around them.

use super::{Draft, Shape, Subject};
use crate::tiles::pbf::Tags;
use crate::tiles::schema::Layer;

/// `place=*`, the first zoom level of its label, and the population it is taken to have.
const PLACES: &[(&str, u8, f64)] = &[
    ("city", 6, 100_000.0),
    ("town", 7, 5_000.0),
    ("village", 10, 100.0),
    ("hamlet", 10, 50.0),
    ("suburb", 10, 1_000.0),
    ("quarter", 10, 500.0),
    ("neighbourhood", 10, 100.0),
    ("isolated_dwelling", 10, 5.0),
    ("farm", 10, 5.0),
    ("borough", 10, 2_000.0),
    ("island", 10, 0.0),
    ("locality", 10, 0.0),
];

pub(super) fn drafts<'a>(tags: &Tags<'a>, subject: Subject, drafts: &mut Vec<Draft<&'a str>>) {
    if tags.is("boundary", &["administrative"]) && matches!(subject, Subject::Line | Subject::Ring)
    {
        boundary(tags, drafts);
    }
    if tags.get("name").is_none() || !subject.is_place(tags) {
        return;
    }
    let Some(&(place, zoom, usual_population)) =
        PLACES.iter().find(|(place, ..)| tags.is("place", &[place]))
    else {
        return;
    };
    let is_settlement = matches!(place, "city" | "town" | "village" | "hamlet");
    let (kind, min_zoom) = match tags.get("capital") {
        Some("yes") if is_settlement => ("capital", 4),
        Some("4") if is_settlement => ("state_capital", 4),
        // The schema has no boroughs; a style knows what to do with a suburb.
        _ if place == "borough" => ("suburb", zoom),
        _ => (place, zoom),
    };
    let population = population(tags).unwrap_or(usual_population);
    drafts.push(
        Draft::new(Layer::PlaceLabels, Shape::Point, min_zoom)
            // The largest first, so that they get their labels before others take the room.
            .rank(-(population as i32))
            .text("kind", kind)
            .names(tags)
            .number("population", population),
    );
}

/// Written by people: `8 336 817`, `8,336,817`. Anything that is not just digits is no number to trust.
fn population(tags: &Tags<'_>) -> Option<f64> {
    let digits: String = tags
        .get("population")?
        .chars()
        .filter(|c| !matches!(c, ' ' | ',' | '\u{a0}' | '\u{202f}'))
        .collect();
    digits.parse::<u32>().ok().map(f64::from)
}

fn boundary<'a>(tags: &Tags<'a>, drafts: &mut Vec<Draft<&'a str>>) {
    let (level, min_zoom) = match tags.get("admin_level") {
        Some("2") => (2.0, 0),
        Some("4") => (4.0, 7),
        _ => return,
    };
    let maritime = tags.is("maritime", &["yes"]) || tags.is("natural", &["coastline"]);
    drafts.push(
        Draft::new(Layer::Boundaries, Shape::Line, min_zoom)
            .number("admin_level", level)
            .flag("maritime", maritime)
            .flag("disputed", tags.is("disputed", &["yes"])),
    );
}
