//! From the elements of an OSM file to the features of a map, indexed by where they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use geo::InteriorPoint;
use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};

use super::coastline;
use super::geometry::{Bounds, Geometry, Point, Polygon, Rect, mercator_area_m2};
use super::pbf::{self, Element, Tags};
use super::rings;
use super::rules::{self, Attribute, Draft, Shape, Subject, Value};
use super::schema::Layer;

/// A map ready to be cut into tiles.
pub(crate) struct Map {
    pub(crate) bounds: Bounds,
    /// The program that wrote the file, as it calls itself.
    pub(crate) writing_program: String,
    pub(crate) features: Vec<Feature>,
    index: RTree<Indexed>,
}

/// Something to draw: a layer's attributes and a shape. A street and its label share their shape.
pub(crate) struct Feature {
    pub(crate) layer: Layer,
    pub(crate) min_zoom: u8,
    pub(crate) rank: i32,
    pub(crate) attributes: Box<[Attribute<Arc<str>>]>,
    pub(crate) geometry: Arc<Geometry>,
}

type Indexed = GeomWithData<Rectangle<[f64; 2]>, usize>;

/// The share of nodes that a header's box must hold to be believed: extracts keep whole ways, which reach out of the
/// box, but a box that misses most nodes is of something else (editors write that of one download of many).
const BOX_HOLDS: f64 = 0.8;

impl Map {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When the bytes are not a whole, valid PBF file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Map, pbf::Error> {
        let mut builder = Builder::default();
        let header = pbf::read(bytes, |element| builder.add(element))?;
        Ok(builder.build(header))
    }

    /// The features whose rectangles meet `rect`, by their place in `features`.
    pub(crate) fn within(&self, rect: &Rect) -> impl Iterator<Item = usize> + '_ {
        self.index
            .locate_in_envelope_intersecting(&AABB::from_corners(rect.min, rect.max))
            .map(|indexed| indexed.data)
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<(i64, Point)>,
    ways: HashMap<i64, Way>,
    relations: Vec<Relation>,
    texts: HashSet<Arc<str>>,
    features: Vec<Feature>,
}

struct Way {
    nodes: Vec<i64>,
    is_coastline: bool,
    drafts: Vec<Draft<Arc<str>>>,
}

struct Relation {
    outer: Vec<i64>,
    inner: Vec<i64>,
    drafts: Vec<Draft<Arc<str>>>,
}

impl Builder {
    fn add(&mut self, element: Element<'_>) {
        match element {
            Element::Node { id, point, tags } => {
                self.nodes.push((id, point));
                let drafts = self.drafts(&tags, Subject::Node);
                self.place(drafts, Geometry::Point(point));
            }
            Element::Way { id, nodes, tags } => {
                let is_ring = nodes.len() > 3 && nodes.first() == nodes.last();
                let subject = if is_ring {
                    Subject::Ring
                } else {
                    Subject::Line
                };
                let way = Way {
                    nodes,
                    is_coastline: tags.is("natural", &["coastline"]),
                    drafts: self.drafts(&tags, subject),
                };
                self.ways.insert(id, way);
            }
            Element::Relation { tags, members } => {
                let drafts = if tags.is("type", &["multipolygon"]) {
                    self.drafts(&tags, Subject::Area)
                } else {
                    Vec::new()
                };
                if drafts.is_empty() {
                    return;
                }
                let (inner, outer): (Vec<_>, Vec<_>) =
                    members.iter().partition(|member| member.role == "inner");
                let ways = |members: Vec<&pbf::Member<'_>>| members.iter().map(|m| m.way).collect();
                self.relations.push(Relation {
                    outer: ways(outer),
                    inner: ways(inner),
                    drafts,
                });
            }
        }
    }

    /// The drafts of an element, their texts interned: a street's name is on each of its pieces.
    fn drafts(&mut self, tags: &Tags<'_>, subject: Subject) -> Vec<Draft<Arc<str>>> {
        rules::drafts(tags, subject)
            .into_iter()
            .map(|draft| Draft {
                layer: draft.layer,
                shape: draft.shape,
                min_zoom: draft.min_zoom,
                rank: draft.rank,
                attributes: draft
                    .attributes
                    .into_iter()
                    .map(|(key, value)| (key, self.intern(value)))
                    .collect(),
            })
            .collect()
    }

    fn intern(&mut self, value: Value<&str>) -> Value<Arc<str>> {
        match value {
            Value::Text(text) => Value::Text(self.texts.get(text).cloned().unwrap_or_else(|| {
                let text: Arc<str> = text.into();
                self.texts.insert(text.clone());
                text
            })),
            Value::Number(number) => Value::Number(number),
            Value::True => Value::True,
        }
    }

    fn build(mut self, header: pbf::Header) -> Map {
        self.nodes.sort_unstable_by_key(|(id, _)| *id);
        let bounds = bounds(header.bounds, &self.nodes);
        let ways = std::mem::take(&mut self.ways);
        for relation in std::mem::take(&mut self.relations) {
            let lines = |ids: &[i64]| -> Vec<Vec<Point>> {
                ids.iter()
                    .filter_map(|id| ways.get(id))
                    .flat_map(|way| self.lines(&way.nodes))
                    .collect()
            };
            let polygons = rings::polygons(lines(&relation.outer), lines(&relation.inner));
            self.place(relation.drafts, Geometry::Area(polygons));
        }
        // In the file's order, so that the same file always gives the same tiles.
        let mut ways: Vec<(i64, Way)> = ways.into_iter().collect();
        ways.sort_unstable_by_key(|(id, _)| *id);
        let mut coastlines = Vec::new();
        for (_, way) in ways {
            if way.is_coastline {
                coastlines.extend(self.lines(&way.nodes));
            }
            self.place_way(way);
        }
        let sea = coastline::sea(coastlines, &bounds.rect());
        let ocean = Draft {
            layer: Layer::Ocean,
            shape: Shape::Area,
            min_zoom: 0,
            rank: 0,
            attributes: Vec::new(),
        };
        self.place(vec![ocean], Geometry::Area(sea));
        let index = RTree::bulk_load(indexed(&self.features));
        Map {
            bounds,
            writing_program: header.writing_program,
            features: self.features,
            index,
        }
    }

    fn place_way(&mut self, way: Way) {
        if way.drafts.is_empty() {
            return;
        }
        let (lines, areas): (Vec<_>, Vec<_>) = way
            .drafts
            .into_iter()
            .partition(|draft| draft.shape == Shape::Line);
        if !areas.is_empty() {
            let mut outer: Vec<Point> = self.lines(&way.nodes).concat();
            outer.dedup();
            if outer.len() > 3 {
                outer.pop();
                let holes = Vec::new();
                self.place(areas, Geometry::Area(vec![Polygon { outer, holes }]));
            }
        }
        if !lines.is_empty() {
            for line in self.lines(&way.nodes) {
                self.place(lines.clone(), Geometry::Line(line));
            }
        }
    }

    /// Where the nodes are. Nodes that the extract lacks break a way into pieces.
    fn lines(&self, nodes: &[i64]) -> Vec<Vec<Point>> {
        let point = |id: &i64| {
            let at = self.nodes.binary_search_by_key(id, |(id, _)| *id).ok()?;
            Some(self.nodes[at].1)
        };
        let points: Vec<Option<Point>> = nodes.iter().map(point).collect();
        points
            .split(Option::is_none)
            .map(|piece| piece.iter().flatten().copied().collect::<Vec<Point>>())
            .filter(|piece| piece.len() > 1)
            .collect()
    }

    fn place(&mut self, drafts: Vec<Draft<Arc<str>>>, geometry: Geometry) {
        if drafts.is_empty() || geometry == Geometry::Area(Vec::new()) {
            return;
        }
        let whole = Arc::new(geometry);
        for draft in drafts {
            let geometry = match (draft.shape, &*whole) {
                (Shape::Point, Geometry::Area(polygons)) => match point_inside(polygons) {
                    Some(point) => Arc::new(Geometry::Point(point)),
                    None => continue,
                },
                _ => whole.clone(),
            };
            let mut feature = Feature {
                layer: draft.layer,
                min_zoom: draft.min_zoom,
                rank: draft.rank,
                attributes: draft.attributes.into(),
                geometry,
            };
            if let Geometry::Area(polygons) = &*whole {
                add_water_area(&mut feature, polygons);
            }
            self.features.push(feature);
        }
    }
}

fn bounds(header: Option<Bounds>, nodes: &[(i64, Point)]) -> Bounds {
    let of_nodes = Rect::around(nodes.iter().map(|(_, point)| *point));
    let believed = header.filter(|bounds| {
        let rect = bounds.rect();
        let held = nodes.iter().filter(|(_, p)| rect.contains(p.xy())).count();
        held as f64 >= BOX_HOLDS * nodes.len() as f64
    });
    let degrees =
        |xy: [f64; 2]| tinymvt::webmercator::web_mercator_to_lnglat(xy[0] / WORLD, xy[1] / WORLD);
    const WORLD: f64 = (1u64 << 32) as f64;
    believed
        .or_else(|| {
            let rect = of_nodes?;
            let ((west, north), (east, south)) = (degrees(rect.min), degrees(rect.max));
            Some(Bounds {
                west,
                south,
                east,
                north,
            })
        })
        // A file without nodes: anywhere will do, there is nothing to see.
        .unwrap_or(Bounds {
            west: -180.0,
            south: -85.0,
            east: 180.0,
            north: 85.0,
        })
}

/// The schema gives water its size, so that a style can prefer the labels of larger lakes.
fn add_water_area(feature: &mut Feature, polygons: &[Polygon]) {
    /// A label is wider than this, in pixels of a 512 pixel tile: smaller water has no room for one.
    const LABEL_PX: f64 = 24.0;
    if !matches!(
        feature.layer,
        Layer::WaterPolygons | Layer::WaterPolygonsLabels
    ) {
        return;
    }
    let area = mercator_area_m2(polygons);
    let mut attributes = std::mem::take(&mut feature.attributes).into_vec();
    attributes.push(("way_area", Value::Number(f64::from(area as f32))));
    feature.attributes = attributes.into();
    feature.rank = -(area as i32);
    if feature.layer == Layer::WaterPolygonsLabels {
        // A pixel at zoom level 0 is this many metres wide.
        let zoom = (LABEL_PX * 40_075_016.7 / 512.0 / area.sqrt().max(1.0)).log2();
        feature.min_zoom = feature.min_zoom.max(zoom.clamp(0.0, 14.0).ceil() as u8);
    }
}

/// A point in the largest of the polygons, for its label.
fn point_inside(polygons: &[Polygon]) -> Option<Point> {
    let area = |polygon: &&Polygon| mercator_area_m2(std::slice::from_ref(*polygon));
    let largest = polygons.iter().max_by(|a, b| area(a).total_cmp(&area(b)))?;
    let line = |ring: &Vec<Point>| {
        ring.iter()
            .map(|p| (f64::from(p.x), f64::from(p.y)))
            .collect()
    };
    let polygon = geo::Polygon::new(
        line(&largest.outer),
        largest.holes.iter().map(line).collect(),
    );
    let point = polygon.interior_point()?;
    Some(Point {
        x: point.x().round() as u32,
        y: point.y().round() as u32,
    })
}

fn indexed(features: &[Feature]) -> Vec<Indexed> {
    features
        .iter()
        .enumerate()
        .filter_map(|(i, feature)| {
            let rect = feature.geometry.rect()?;
            let rectangle = Rectangle::from_corners(rect.min, rect.max);
            Some(GeomWithData::new(rectangle, i))
        })
        .collect()
}
