//! Points of interest and stops of public transport.

use super::{Draft, Shape, Subject, find};
use crate::tiles::pbf::Tags;
use crate::tiles::schema::Layer;

/// Tag, kind and first zoom level.
const STOPS: &[(&str, &str, &str, u8)] = &[
    ("aeroway", "aerodrome", "aerodrome", 11),
    ("aeroway", "helipad", "helipad", 13),
    ("amenity", "ferry_terminal", "ferry_terminal", 12),
    ("railway", "station", "station", 13),
    ("railway", "halt", "halt", 13),
    ("railway", "tram_stop", "tram_stop", 14),
    ("amenity", "bus_station", "bus_station", 13),
    ("highway", "bus_stop", "bus_stop", 14),
    ("aerialway", "station", "aerialway_station", 13),
];

/// The values that are points of interest. Of the schema's list, street furniture (benches, waste baskets, hydrants,
/// post boxes, cameras) is left out: it is half of a city's points, and no map of vehicles draws it.
const POIS: &[(&str, &[&str])] = &[
    (
        "amenity",
        &[
            "arts_centre",
            "atm",
            "bank",
            "bar",
            "bicycle_rental",
            "biergarten",
            "cafe",
            "car_rental",
            "car_sharing",
            "car_wash",
            "cinema",
            "clinic",
            "college",
            "community_centre",
            "courthouse",
            "dentist",
            "doctors",
            "embassy",
            "fast_food",
            "fire_station",
            "food_court",
            "fountain",
            "hospital",
            "library",
            "marketplace",
            "nightclub",
            "nursing_home",
            "pharmacy",
            "place_of_worship",
            "police",
            "post_office",
            "prison",
            "pub",
            "public_building",
            "restaurant",
            "school",
            "theatre",
            "toilets",
            "townhall",
            "university",
            "veterinary",
        ],
    ),
    (
        "tourism",
        &[
            "alpine_hut",
            "artwork",
            "bed_and_breakfast",
            "camp_site",
            "caravan_site",
            "chalet",
            "guest_house",
            "hostel",
            "hotel",
            "information",
            "motel",
            "museum",
            "attraction",
            "picnic_site",
            "theme_park",
            "viewpoint",
            "zoo",
        ],
    ),
    (
        "leisure",
        &[
            "golf_course",
            "ice_rink",
            "pitch",
            "sports_centre",
            "stadium",
            "swimming_pool",
            "water_park",
        ],
    ),
    (
        "shop",
        &[
            "alcohol",
            "bakery",
            "beauty",
            "beverages",
            "bicycle",
            "books",
            "butcher",
            "car",
            "chemist",
            "clothes",
            "computer",
            "convenience",
            "department_store",
            "doityourself",
            "dry_cleaning",
            "florist",
            "furniture",
            "garden_centre",
            "general",
            "gift",
            "greengrocer",
            "hairdresser",
            "hardware",
            "jewelry",
            "kiosk",
            "laundry",
            "mall",
            "mobile_phone",
            "newsagent",
            "optician",
            "outdoor",
            "shoes",
            "sports",
            "stationery",
            "supermarket",
            "toys",
            "travel_agency",
            "video",
        ],
    ),
    (
        "historic",
        &[
            "archaeological_site",
            "battlefield",
            "castle",
            "fort",
            "memorial",
            "monument",
            "ruins",
            "wayside_cross",
            "wayside_shrine",
        ],
    ),
    (
        "man_made",
        &[
            "lighthouse",
            "tower",
            "wastewater_plant",
            "water_works",
            "watermill",
            "windmill",
        ],
    ),
    ("office", &["diplomatic"]),
    ("emergency", &["defibrillator", "phone"]),
];

/// What else is said of some of them.
const DETAILS: [&str; 5] = [
    "cuisine",
    "sport",
    "religion",
    "denomination",
    "information",
];

pub(super) fn drafts<'a>(tags: &Tags<'a>, subject: Subject, drafts: &mut Vec<Draft<&'a str>>) {
    if !subject.is_place(tags) {
        return;
    }
    if let Some(&(.., kind, min_zoom)) = find(STOPS, tags) {
        drafts.push(
            Draft::new(Layer::PublicTransport, Shape::Point, min_zoom)
                .text("kind", kind)
                .names(tags)
                .copy(tags, &["iata"]),
        );
    }
    let mut poi = Draft::new(Layer::Pois, Shape::Point, 14);
    for (key, values) in POIS {
        if tags.is(key, values) {
            poi = poi.copy(tags, &[key]);
        }
    }
    if !poi.attributes.is_empty() {
        drafts.push(poi.names(tags).copy(tags, &DETAILS));
    }
}
