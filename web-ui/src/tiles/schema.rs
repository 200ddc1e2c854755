//! The layers of the Shortbread schema, version 1.0 with what 1.1 adds to them: <https://shortbread-tiles.org/schema/>.

use serde_json::{Value, json};

/// The zoom level of the most detailed tiles; a map draws closer views from them.
pub(crate) const MAX_ZOOM: u8 = 14;

macro_rules! layers {
    ($($variant:ident $name:literal from $min_zoom:literal: $($field:literal)*;)*) => {
        /// A layer that tiles have, in the order in which they hold them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(dead_code, reason = "a layer that is never filled is declared all the same")]
        pub(crate) enum Layer { $($variant),* }

        impl Layer {
            /// The name in the tile.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Layer::$variant => $name),* }
            }
        }

        /// `vector_layers` of the TileJSON. A style may ask for any layer of the schema, and the map reports an error
        /// for one that the TileJSON does not declare: layers that are never filled are here too.
        pub(crate) fn vector_layers() -> Value {
            json!([$({
                "id": $name,
                "minzoom": $min_zoom,
                "maxzoom": MAX_ZOOM,
                "fields": fields(&[$($field),*]),
            }),*])
        }
    };
}

layers! {
    Ocean "ocean" from 0: ;
    WaterPolygons "water_polygons" from 4: "kind" "way_area";
    WaterPolygonsLabels "water_polygons_labels" from 4: "kind" "name" "name_en" "name_de" "way_area";
    WaterLines "water_lines" from 9: "kind" "tunnel" "bridge";
    WaterLinesLabels "water_lines_labels" from 12: "kind" "name" "name_en" "name_de" "tunnel" "bridge";
    DamLines "dam_lines" from 12: "kind";
    DamPolygons "dam_polygons" from 12: "kind";
    PierLines "pier_lines" from 12: "kind";
    PierPolygons "pier_polygons" from 12: "kind";
    Boundaries "boundaries" from 0: "admin_level" "maritime" "disputed";
    BoundaryLabels "boundary_labels" from 2: "admin_level" "name" "name_en" "name_de" "way_area";
    PlaceLabels "place_labels" from 3: "kind" "name" "name_en" "name_de" "population";
    Land "land" from 7: "kind";
    Sites "sites" from 14: "kind";
    Buildings "buildings" from 14: "dummy";
    Addresses "addresses" from 14: "housename" "housenumber";
    Streets "streets" from 5: "kind" "link" "rail" "tunnel" "bridge" "oneway" "oneway_reverse" "service" "tracktype" "surface" "bicycle" "horse";
    StreetPolygons "street_polygons" from 11: "kind" "rail" "tunnel" "bridge" "service" "surface";
    StreetLabels "street_labels" from 10: "kind" "name" "name_en" "name_de" "ref" "ref_rows" "ref_cols" "tunnel";
    StreetsPolygonsLabels "streets_polygons_labels" from 14: "kind" "name" "name_en" "name_de";
    StreetLabelsPoints "street_labels_points" from 12: "kind" "name" "name_en" "name_de" "ref";
    Bridges "bridges" from 12: "kind";
    Aerialways "aerialways" from 12: "kind";
    Ferries "ferries" from 10: "kind" "name" "name_en" "name_de";
    PublicTransport "public_transport" from 11: "kind" "name" "name_en" "name_de" "iata";
    Pois "pois" from 14: "amenity" "leisure" "tourism" "shop" "man_made" "historic" "emergency" "highway" "office" "name" "name_en" "name_de" "cuisine" "sport" "religion" "denomination" "information";
}

/// TileJSON wants a description or a type for each field.
fn fields(names: &[&str]) -> Value {
    let kind = |name: &str| match name {
        "way_area" | "population" | "admin_level" | "dummy" | "ref_rows" | "ref_cols" => "Number",
        "tunnel" | "bridge" | "link" | "rail" | "oneway" | "oneway_reverse" | "maritime"
        | "disputed" => "Boolean",
        _ => "String",
    };
    names
        .iter()
        .map(|name| ((*name).to_owned(), Value::from(kind(name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
