//! Which named things on a map are worth a trip.

use fleet::Kind;

use super::profile::Tags;

/// Whether a node or way with these tags is a trip end for `kind`: it must have a name.
pub(super) fn is_place(kind: Kind, tags: &impl Tags) -> bool {
    if tags.value("name").is_none() {
        return false;
    }
    match kind {
        Kind::Taxi => is_for_people(tags),
        Kind::Truck => is_for_goods(tags),
    }
}

fn is_for_people(tags: &impl Tags) -> bool {
    let station = matches!(tags.value("railway"), Some("station" | "halt"));
    let airport = matches!(tags.value("aeroway"), Some("aerodrome" | "terminal"));
    let quarter = matches!(
        tags.value("place"),
        Some("square" | "neighbourhood" | "quarter" | "suburb")
    );
    // What stands in the street itself, and nobody takes a taxi to.
    let furniture = matches!(
        tags.value("amenity"),
        Some("bench" | "bicycle_parking" | "bicycle_rental" | "parking_space" | "parking")
            | Some("post_box" | "recycling" | "vending_machine" | "waste_basket" | "telephone")
    );
    let kinds = [
        "amenity", "tourism", "shop", "leisure", "office", "building",
    ];
    station
        || airport
        || quarter
        || (!furniture && kinds.iter().any(|key| tags.value(key).is_some()))
}

fn is_for_goods(tags: &impl Tags) -> bool {
    let town = matches!(tags.value("place"), Some("city" | "town"));
    let works = matches!(tags.value("landuse"), Some("industrial" | "commercial"));
    let market = matches!(tags.value("amenity"), Some("marketplace"));
    let airport = tags.value("aeroway") == Some("aerodrome");
    town || works || market || airport || tags.value("industrial").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_goods_go_to_different_places() {
        for (tags, taxi, truck) in [
            (
                &[("name", "Grand Hotel"), ("tourism", "hotel")][..],
                true,
                false,
            ),
            (&[("tourism", "hotel")], false, false),
            (&[("name", "Central"), ("railway", "station")], true, false),
            (&[("name", "Row 4"), ("amenity", "bench")], false, false),
            (&[("name", "Bologna"), ("place", "city")], false, true),
            (
                &[("name", "Interporto"), ("landuse", "industrial")],
                false,
                true,
            ),
            (
                &[("name", "Via Roma"), ("highway", "primary")],
                false,
                false,
            ),
        ] {
            assert_eq!(is_place(Kind::Taxi, &tags), taxi, "{tags:?}");
            assert_eq!(is_place(Kind::Truck, &tags), truck, "{tags:?}");
        }
    }
}
