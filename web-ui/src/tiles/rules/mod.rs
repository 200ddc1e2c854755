//! Which OpenStreetMap tags become which feature of which layer: the tables of the Shortbread schema.
//!
//! Each module is one theme and a pure function from tags to drafts. What an element is not tagged as costs nothing:
//! most nodes have no tags, and most ways match one theme.

mod land;
mod places;
mod points;
mod streets;
mod water;

use super::pbf::Tags;
use super::schema::Layer;

/// What kind of element bears the tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A node.
    Node,
    /// A way with two ends.
    Line,
    /// A way that ends where it starts: an area or a roundabout, which its tags decide.
    Ring,
    /// A multipolygon relation.
    Area,
}

/// The shape that a feature takes from its element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The node, or a point inside the area.
    Point,
    Line,
    Area,
}

/// A feature without its geometry. `T` holds texts: borrowed from the file, or interned to stay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft<T> {
    pub(crate) layer: Layer,
    pub(crate) shape: Shape,
    /// The first zoom level that shows it.
    pub(crate) min_zoom: u8,
    /// Place in its layer's order: lower comes first.
    pub(crate) rank: i32,
    pub(crate) attributes: Vec<Attribute<T>>,
}

/// A key and a value of a feature.
pub(crate) type Attribute<T> = (&'static str, Value<T>);

/// A value in a tile. A flag that is false is left out: absence is the schema's default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<T> {
    Text(T),
    Number(f64),
    True,
}

/// Everything that an element with these tags becomes.
pub(crate) fn drafts<'a>(tags: &Tags<'a>, subject: Subject) -> Vec<Draft<&'a str>> {
    let mut drafts = Vec::new();
    if tags.0.is_empty() {
        return drafts;
    }
    water::drafts(tags, subject, &mut drafts);
    land::drafts(tags, subject, &mut drafts);
    streets::drafts(tags, subject, &mut drafts);
    places::drafts(tags, subject, &mut drafts);
    points::drafts(tags, subject, &mut drafts);
    drafts
}

impl<'a> Draft<&'a str> {
    fn new(layer: Layer, shape: Shape, min_zoom: u8) -> Self {
        Draft {
            layer,
            shape,
            min_zoom,
            rank: 0,
            attributes: Vec::new(),
        }
    }

    fn rank(mut self, rank: i32) -> Self {
        self.rank = rank;
        self
    }

    fn text(mut self, key: &'static str, value: &'a str) -> Self {
        self.attributes.push((key, Value::Text(value)));
        self
    }

    fn number(mut self, key: &'static str, value: f64) -> Self {
        self.attributes.push((key, Value::Number(value)));
        self
    }

    fn flag(mut self, key: &'static str, value: bool) -> Self {
        if value {
            self.attributes.push((key, Value::True));
        }
        self
    }

    /// Takes over tags under their own names.
    fn copy(mut self, tags: &Tags<'a>, keys: &[&'static str]) -> Self {
        for key in keys {
            if let Some(value) = tags.get(key) {
                self.attributes.push((key, Value::Text(value)));
            }
        }
        self
    }

    fn names(mut self, tags: &Tags<'a>) -> Self {
        for (key, tag) in [
            ("name", "name"),
            ("name_en", "name:en"),
            ("name_de", "name:de"),
        ] {
            if let Some(name) = tags.get(tag) {
                self.attributes.push((key, Value::Text(name)));
            }
        }
        self
    }

    fn tunnel(self, tags: &Tags<'a>) -> Self {
        self.flag("tunnel", is_tunnel(tags))
    }

    fn bridge(self, tags: &Tags<'a>) -> Self {
        self.flag("bridge", is_bridge(tags))
    }
}

fn is_tunnel(tags: &Tags<'_>) -> bool {
    tags.is("tunnel", &["yes", "building_passage"]) || tags.is("covered", &["yes"])
}

fn is_bridge(tags: &Tags<'_>) -> bool {
    tags.is(
        "bridge",
        &[
            "yes",
            "viaduct",
            "boardwalk",
            "cantilever",
            "covered",
            "low_water_crossing",
            "movable",
            "trestle",
        ],
    )
}

impl Subject {
    /// Whether things that are areas unless said otherwise (a park, a building) are one here.
    fn is_area(self, tags: &Tags<'_>) -> bool {
        match self {
            Subject::Area => true,
            Subject::Ring => !tags.is("area", &["no"]),
            Subject::Line | Subject::Node => false,
        }
    }

    /// Whether things that are lines unless said otherwise (a street, a canal) are an area here.
    fn is_said_area(self, tags: &Tags<'_>) -> bool {
        match self {
            Subject::Area => true,
            Subject::Ring => tags.is("area", &["yes"]),
            Subject::Line | Subject::Node => false,
        }
    }

    /// Whether it can be a point: the node, or an area with a point inside.
    fn is_place(self, tags: &Tags<'_>) -> bool {
        self == Subject::Node || self.is_area(tags)
    }
}

/// The first row of a table `(key, value, kind, min_zoom)` that the tags match.
fn find<'t>(
    table: &'t [(&str, &str, &'static str, u8)],
    tags: &Tags<'_>,
) -> Option<&'t (&'t str, &'t str, &'static str, u8)> {
    table
        .iter()
        .find(|(key, value, ..)| tags.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `layer shape z kind other=…` of each draft, to compare with what a table says.
    fn describe(tags: &[(&str, &str)], subject: Subject) -> Vec<String> {
        drafts(&Tags(tags.to_vec()), subject)
            .into_iter()
            .map(|draft| {
                let attributes: Vec<String> = draft
                    .attributes
                    .iter()
                    .map(|(key, value)| match value {
                        Value::Text(text) => format!("{key}={text}"),
                        Value::Number(number) => format!("{key}={number}"),
                        Value::True => (*key).to_owned(),
                    })
                    .collect();
                format!(
                    "{} {:?} {} {}",
                    draft.layer.name(),
                    draft.shape,
                    draft.min_zoom,
                    attributes.join(" ")
                )
            })
            .collect()
    }

    #[test]
    fn tags_become_the_features_of_the_schema() {
        use Subject::{Area, Line, Node, Ring};
        for (tags, subject, expected) in [
            (&[("source", "survey")][..], Node, &[][..]),
            (
                &[
                    ("highway", "primary"),
                    ("name", "Broadway"),
                    ("oneway", "yes"),
                ],
                Line,
                &[
                    "streets Line 8 kind=primary oneway",
                    "street_labels Line 12 kind=primary name=Broadway",
                ],
            ),
            (
                &[
                    ("highway", "motorway_link"),
                    ("bridge", "viaduct"),
                    ("oneway", "-1"),
                ],
                Line,
                &["streets Line 5 kind=motorway link bridge oneway oneway_reverse"],
            ),
            // A roundabout is a closed line, not an area.
            (
                &[("highway", "residential"), ("junction", "roundabout")],
                Ring,
                &["streets Line 12 kind=residential oneway"],
            ),
            (
                &[
                    ("highway", "pedestrian"),
                    ("area", "yes"),
                    ("name", "Plaza"),
                ],
                Ring,
                &[
                    "street_polygons Area 14 kind=pedestrian",
                    "streets_polygons_labels Point 14 kind=pedestrian name=Plaza",
                ],
            ),
            (&[("highway", "proposed")], Line, &[]),
            (
                &[("highway", "motorway"), ("ref", "A1;E35")],
                Line,
                &[
                    "streets Line 5 kind=motorway oneway",
                    "street_labels Line 10 kind=motorway ref=A1;E35 ref_rows=2 ref_cols=3",
                ],
            ),
            (
                &[("railway", "subway"), ("tunnel", "yes")],
                Line,
                &["streets Line 10 kind=subway rail tunnel"],
            ),
            (
                &[("railway", "rail"), ("service", "yard")],
                Line,
                &["streets Line 10 kind=rail rail service=yard"],
            ),
            (
                &[("natural", "water"), ("water", "river")],
                Area,
                &["water_polygons Area 4 kind=river"],
            ),
            (
                &[("natural", "water"), ("name", "The Lake")],
                Ring,
                &[
                    "water_polygons Area 4 kind=water",
                    "water_polygons_labels Point 4 kind=water name=The Lake",
                ],
            ),
            (&[("natural", "water")], Line, &[]),
            (
                &[("waterway", "stream"), ("tunnel", "yes")],
                Line,
                &["water_lines Line 14 kind=stream tunnel"],
            ),
            (&[("natural", "wood")], Ring, &["land Area 7 kind=forest"]),
            (&[("leisure", "park")], Area, &["land Area 11 kind=park"]),
            (&[("leisure", "park"), ("area", "no")], Ring, &[]),
            (&[("building", "no")], Ring, &[]),
            (&[("building", "yes")], Ring, &["buildings Area 14 dummy=1"]),
            (
                &[
                    ("building", "yes"),
                    ("amenity", "hospital"),
                    ("name", "Bellevue"),
                ],
                Ring,
                &[
                    "sites Area 14 kind=hospital",
                    "buildings Area 14 dummy=1",
                    "pois Point 14 amenity=hospital name=Bellevue",
                ],
            ),
            (
                &[("man_made", "pier")],
                Line,
                &["pier_lines Line 12 kind=pier"],
            ),
            (
                &[("man_made", "pier")],
                Ring,
                &["pier_polygons Area 12 kind=pier"],
            ),
            (
                &[
                    ("place", "city"),
                    ("name", "Torino"),
                    ("name:en", "Turin"),
                    ("population", "847 287"),
                ],
                Node,
                &["place_labels Point 6 kind=city name=Torino name_en=Turin population=847287"],
            ),
            (
                &[
                    ("place", "city"),
                    ("name", "Roma"),
                    ("capital", "yes"),
                    ("population", "?"),
                ],
                Node,
                &["place_labels Point 4 kind=capital name=Roma population=100000"],
            ),
            (&[("place", "suburb")], Node, &[]),
            (
                &[("railway", "station"), ("name", "Penn Station")],
                Node,
                &["public_transport Point 13 kind=station name=Penn Station"],
            ),
            (
                &[
                    ("amenity", "cafe"),
                    ("cuisine", "coffee_shop"),
                    ("phone", "1"),
                ],
                Node,
                &["pois Point 14 amenity=cafe cuisine=coffee_shop"],
            ),
            (&[("amenity", "bench")], Node, &[]),
            (
                &[
                    ("boundary", "administrative"),
                    ("admin_level", "4"),
                    ("maritime", "yes"),
                ],
                Line,
                &["boundaries Line 7 admin_level=4 maritime"],
            ),
            (
                &[("route", "ferry"), ("motor_vehicle", "no")],
                Line,
                &["ferries Line 12 kind=ferry"],
            ),
        ] {
            assert_eq!(describe(tags, subject), expected, "{tags:?} {subject:?}");
        }
    }

    #[test]
    fn wide_roads_are_drawn_over_narrow_ones_and_bridges_over_all() {
        let rank = |tags: &[(&'static str, &'static str)]| {
            drafts(&Tags(tags.to_vec()), Subject::Line)[0].rank
        };
        let service = rank(&[("highway", "service")]);
        let motorway = rank(&[("highway", "motorway")]);
        let footbridge = rank(&[("highway", "footway"), ("bridge", "yes"), ("layer", "1")]);
        let tunnel = rank(&[("highway", "motorway"), ("tunnel", "yes"), ("layer", "-1")]);
        assert!(tunnel < service && service < motorway && motorway < footbridge);
    }
}
