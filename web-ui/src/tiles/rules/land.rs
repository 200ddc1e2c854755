//! What covers the ground: land use, sites, buildings, the outlines of bridges.

use super::{Draft, Shape, Subject, find};
use crate::tiles::pbf::Tags;
use crate::tiles::schema::Layer;

/// Tag, kind and first zoom level. Where two match, the more telling one comes first.
#[rustfmt::skip]
const LAND: &[(&str, &str, &str, u8)] = &[
    ("leisure", "park", "park", 11),
    ("leisure", "garden", "garden", 11),
    ("leisure", "playground", "playground", 11),
    ("leisure", "golf_course", "golf_course", 11),
    ("leisure", "miniature_golf", "miniature_golf", 11),
    ("amenity", "grave_yard", "grave_yard", 13),
    ("landuse", "cemetery", "cemetery", 13),
    ("landuse", "forest", "forest", 7),
    ("natural", "wood", "forest", 7),
    ("landuse", "grass", "grass", 11),
    ("landuse", "meadow", "meadow", 11),
    ("landuse", "orchard", "orchard", 11),
    ("landuse", "vineyard", "vineyard", 11),
    ("landuse", "allotments", "allotments", 11),
    ("landuse", "village_green", "village_green", 11),
    ("landuse", "recreation_ground", "recreation_ground", 11),
    ("landuse", "greenhouse_horticulture", "greenhouse_horticulture", 11),
    ("landuse", "plant_nursery", "plant_nursery", 11),
    ("natural", "sand", "sand", 10),
    ("natural", "beach", "beach", 10),
    ("natural", "heath", "heath", 11),
    ("natural", "scrub", "scrub", 11),
    ("natural", "grassland", "grassland", 11),
    ("natural", "bare_rock", "bare_rock", 11),
    ("natural", "scree", "scree", 11),
    ("natural", "shingle", "shingle", 11),
    ("wetland", "swamp", "swamp", 11),
    ("wetland", "bog", "bog", 11),
    ("wetland", "string_bog", "string_bog", 11),
    ("wetland", "wet_meadow", "wet_meadow", 11),
    ("wetland", "marsh", "marsh", 11),
    ("landuse", "residential", "residential", 10),
    ("landuse", "industrial", "industrial", 10),
    ("landuse", "commercial", "commercial", 10),
    ("landuse", "garages", "garages", 10),
    ("landuse", "retail", "retail", 10),
    ("landuse", "railway", "railway", 10),
    ("landuse", "landfill", "landfill", 10),
    ("landuse", "quarry", "quarry", 11),
    ("landuse", "brownfield", "brownfield", 10),
    ("landuse", "greenfield", "greenfield", 10),
    ("landuse", "farmyard", "farmyard", 10),
    ("landuse", "farmland", "farmland", 10),
    ("military", "danger_area", "danger_area", 14),
    ("leisure", "sports_centre", "sports_centre", 14),
    ("amenity", "university", "university", 14),
    ("amenity", "college", "college", 14),
    ("amenity", "school", "school", 14),
    ("amenity", "hospital", "hospital", 14),
    ("amenity", "prison", "prison", 14),
    ("amenity", "parking", "parking", 14),
    ("amenity", "bicycle_parking", "bicycle_parking", 14),
    ("landuse", "construction", "construction", 14),
    ("man_made", "bridge", "bridge", 12),
];

/// Where the rows of `LAND` change their layer.
fn layer(kind: &str) -> Layer {
    match kind {
        "danger_area" | "sports_centre" | "university" | "college" | "school" | "hospital"
        | "prison" | "parking" | "bicycle_parking" | "construction" => Layer::Sites,
        "bridge" => Layer::Bridges,
        _ => Layer::Land,
    }
}

pub(super) fn drafts<'a>(tags: &Tags<'a>, subject: Subject, drafts: &mut Vec<Draft<&'a str>>) {
    if !subject.is_area(tags) {
        return;
    }
    if let Some(&(.., kind, min_zoom)) = find(LAND, tags) {
        drafts.push(Draft::new(layer(kind), Shape::Area, min_zoom).text("kind", kind));
    }
    if tags.get("building").is_some_and(|value| value != "no") {
        // The schema gives buildings an attribute because some readers want at least one.
        drafts.push(Draft::new(Layer::Buildings, Shape::Area, 14).number("dummy", 1.0));
    }
}
