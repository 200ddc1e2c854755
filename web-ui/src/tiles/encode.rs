//! Cuts one tile out of a map and encodes it as a Mapbox Vector Tile, version 2.1.

use std::sync::Arc;

use geo::{LineString, Simplify};
use prost::Message;
use tinymvt::geometry::GeometryEncoder;
use tinymvt::tag::TagsEncoder;
use tinymvt::vector_tile::{Tile, tile};

use super::TileId;
use super::clip;
use super::features::{Feature, Map};
use super::geometry::{Geometry, Point, Polygon, Rect, doubled_area};
use super::rules::Value;
use super::schema::{Layer, MAX_ZOOM};

/// The tile's grid; 8 units are a pixel when the tile is drawn 512 pixels wide.
const EXTENT: f64 = 4096.0;
/// How far a tile reaches into its neighbours, so that a line's width is not cut off at its edge.
const BUFFER: f64 = 64.0;

/// How much detail a zoom level keeps, in units of the grid.
struct Detail {
    /// How far a simplified line may leave the true one.
    tolerance: f64,
    /// Smaller areas are left out.
    area_min: f64,
}

impl Detail {
    fn at(z: u8) -> Detail {
        if z < MAX_ZOOM {
            // A quarter of a pixel, half a pixel.
            Detail {
                tolerance: 2.0,
                area_min: 32.0,
            }
        } else {
            // Closer views are drawn from these tiles: only what is straight anyway may go.
            Detail {
                tolerance: 0.5,
                area_min: 1.0,
            }
        }
    }
}

/// The encoded tile; empty when nothing is on it.
pub(crate) fn tile(map: &Map, id: TileId) -> Vec<u8> {
    let frame = Frame::new(id);
    let mut features: Vec<(usize, &Feature)> = map
        .within(&frame.rect)
        .map(|i| (i, &map.features[i]))
        .filter(|(_, feature)| feature.min_zoom <= id.z)
        .collect();
    features.sort_unstable_by_key(|(i, feature)| (feature.layer, feature.rank, *i));
    let layers = features
        .chunk_by(|(_, a), (_, b)| a.layer == b.layer)
        .filter_map(|chunk| layer(&frame, chunk))
        .collect();
    Tile { layers }.encode_to_vec()
}

fn layer(frame: &Frame, features: &[(usize, &Feature)]) -> Option<tile::Layer> {
    let mut tags = TagsEncoder::new();
    let encoded: Vec<tile::Feature> = features
        .iter()
        .filter_map(|(_, feature)| {
            let (kind, geometry) = frame.geometry(&feature.geometry)?;
            for (key, value) in &feature.attributes {
                if frame.id.z >= attribute_zoom(feature.layer, key) {
                    add(&mut tags, key, value);
                }
            }
            Some(tile::Feature {
                id: None,
                tags: tags.take_tags(),
                r#type: Some(kind.into()),
                geometry,
            })
        })
        .collect();
    let (_, first) = features.first()?;
    let (keys, values) = tags.into_keys_and_values();
    (!encoded.is_empty()).then(|| tile::Layer {
        version: 2,
        name: first.layer.name().to_owned(),
        features: encoded,
        keys,
        values,
        extent: Some(EXTENT as u32),
    })
}

/// The first zoom level that has an attribute, where the schema does not want it on all.
fn attribute_zoom(layer: Layer, key: &str) -> u8 {
    match (layer, key) {
        (Layer::Streets, "oneway" | "oneway_reverse" | "bicycle" | "horse") => 14,
        (Layer::Streets, "link" | "tunnel" | "bridge" | "tracktype" | "surface" | "service") => 11,
        _ => 0,
    }
}

fn add(tags: &mut TagsEncoder, key: &str, value: &Value<Arc<str>>) {
    match value {
        Value::Text(text) => tags.add(key, &**text),
        Value::Number(number) if number.fract() == 0.0 => tags.add(key, *number as i64),
        Value::Number(number) => tags.add(key, *number as f32),
        Value::True => tags.add(key, true),
    }
}

/// A tile's place on the plane.
struct Frame {
    id: TileId,
    detail: Detail,
    /// The tile with its buffer, on the plane.
    rect: Rect,
    /// Its north-west corner on the plane, without the buffer.
    origin: [f64; 2],
    /// Units of the plane in a unit of the grid.
    scale: f64,
}

/// The tile with its buffer, on its own grid.
const CLIP: Rect = Rect {
    min: [-BUFFER, -BUFFER],
    max: [EXTENT + BUFFER, EXTENT + BUFFER],
};

impl Frame {
    fn new(id: TileId) -> Frame {
        let size = (1u64 << (32 - id.z)) as f64;
        let scale = size / EXTENT;
        let origin = [f64::from(id.x) * size, f64::from(id.y) * size];
        Frame {
            id,
            detail: Detail::at(id.z),
            rect: Rect {
                min: origin.map(|v| v - BUFFER * scale),
                max: origin.map(|v| v + size + BUFFER * scale),
            },
            origin,
            scale,
        }
    }

    fn to_grid(&self, point: Point) -> [f64; 2] {
        let [x, y] = point.xy();
        [
            (x - self.origin[0]) / self.scale,
            (y - self.origin[1]) / self.scale,
        ]
    }

    /// The part of a shape on this tile, encoded; `None` when nothing is left of it.
    fn geometry(&self, geometry: &Geometry) -> Option<(tile::GeomType, Vec<u32>)> {
        let mut encoder = GeometryEncoder::new();
        let kind = match geometry {
            Geometry::Point(point) => {
                let [x, y] = self.to_grid(*point);
                // Without the buffer: a label belongs to one tile.
                if !((0.0..EXTENT).contains(&x) && (0.0..EXTENT).contains(&y)) {
                    return None;
                }
                encoder.add_points([[x as i32, y as i32]]);
                tile::GeomType::Point
            }
            Geometry::Line(points) => {
                let line: Vec<[f64; 2]> = points.iter().map(|&p| self.to_grid(p)).collect();
                for part in clip::line(&line, &CLIP) {
                    let part = rounded(&simplified(part, self.detail.tolerance));
                    if part.len() > 1 {
                        encoder.add_linestring(part);
                    }
                }
                tile::GeomType::Linestring
            }
            Geometry::Area(polygons) => {
                for polygon in polygons {
                    self.polygon(polygon, &mut encoder);
                }
                tile::GeomType::Polygon
            }
        };
        let encoded = encoder.into_vec();
        (!encoded.is_empty()).then_some((kind, encoded))
    }

    /// An outer ring, clockwise on the screen, and its holes, counter-clockwise, as the format wants them.
    fn polygon(&self, polygon: &Polygon, encoder: &mut GeometryEncoder) {
        let Some(outer) = self.ring(&polygon.outer, true) else {
            return;
        };
        encoder.add_ring(outer);
        for hole in &polygon.holes {
            if let Some(hole) = self.ring(hole, false) {
                encoder.add_ring(hole);
            }
        }
    }

    fn ring(&self, ring: &[Point], clockwise: bool) -> Option<Vec<[i32; 2]>> {
        let ring: Vec<[f64; 2]> = ring.iter().map(|&p| self.to_grid(p)).collect();
        let mut ring = clip::ring(ring, &CLIP);
        ring.push(*ring.first()?);
        let mut ring = rounded(&simplified(ring, self.detail.tolerance));
        ring.pop();
        let area = doubled_area(
            &ring
                .iter()
                .map(|&[x, y]| [f64::from(x), f64::from(y)])
                .collect::<Vec<_>>(),
        );
        if ring.len() < 3 || area.abs() / 2.0 < self.detail.area_min {
            return None;
        }
        if (area > 0.0) != clockwise {
            ring.reverse();
        }
        Some(ring)
    }
}

fn simplified(line: Vec<[f64; 2]>, tolerance: f64) -> Vec<[f64; 2]> {
    if line.len() < 3 {
        return line;
    }
    let line: LineString<f64> = line.into_iter().collect();
    line.simplify(tolerance)
        .into_iter()
        .map(|c| [c.x, c.y])
        .collect()
}

fn rounded(line: &[[f64; 2]]) -> Vec<[i32; 2]> {
    let mut rounded: Vec<[i32; 2]> = line
        .iter()
        .map(|p| p.map(|value| value.round() as i32))
        .collect();
    rounded.dedup();
    rounded
}
