//! Positions on the Web Mercator plane, and the shapes made of them.

use std::f64::consts::PI;

/// Where Web Mercator's square ends: <https://en.wikipedia.org/wiki/Web_Mercator_projection>.
const MAX_LATITUDE_DEG: f64 = 85.051_128_779_806_6;
/// The width of the world in [`Point`] units.
const WORLD: f64 = 4_294_967_296.0;
/// The equator in metres on the Web Mercator sphere (radius 6 378 137 m).
const EQUATOR_M: f64 = 40_075_016.685_578_5;

/// A position on the Web Mercator plane. The world is 2^32 units wide and high, `x` grows to the east and `y` to the
/// south, so a unit is at most 1 cm and a tile's own grid is a shift away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) x: u32,
    pub(crate) y: u32,
}

impl Point {
    /// The nearest point of the plane to a WGS84 position in degrees.
    pub(crate) fn from_degrees(lng: f64, lat: f64) -> Point {
        let sin = lat
            .clamp(-MAX_LATITUDE_DEG, MAX_LATITUDE_DEG)
            .to_radians()
            .sin();
        let x = lng / 360.0 + 0.5;
        let y = 0.5 - ((1.0 + sin) / (1.0 - sin)).ln() / (4.0 * PI);
        // `as` saturates, so the world's far edges stay in range.
        Point {
            x: (x * WORLD).round() as u32,
            y: (y * WORLD).round() as u32,
        }
    }

    /// As floating point, for everything that computes.
    pub(crate) fn xy(self) -> [f64; 2] {
        [f64::from(self.x), f64::from(self.y)]
    }
}

/// An upright rectangle on the plane; `min` is its north-west corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) min: [f64; 2],
    pub(crate) max: [f64; 2],
}

impl Rect {
    /// The smallest rectangle around `points`; none around nothing.
    pub(crate) fn around(points: impl IntoIterator<Item = Point>) -> Option<Rect> {
        points
            .into_iter()
            .map(Point::xy)
            .fold(None, |rect: Option<Rect>, xy| {
                let Rect { min, max } = rect.unwrap_or(Rect { min: xy, max: xy });
                Some(Rect {
                    min: [min[0].min(xy[0]), min[1].min(xy[1])],
                    max: [max[0].max(xy[0]), max[1].max(xy[1])],
                })
            })
    }

    pub(crate) fn contains(&self, [x, y]: [f64; 2]) -> bool {
        (self.min[0]..=self.max[0]).contains(&x) && (self.min[1]..=self.max[1]).contains(&y)
    }
}

/// A box on the map in WGS84 degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Degrees east of Greenwich of the western edge.
    pub(crate) west: f64,
    /// Degrees north of the equator of the southern edge.
    pub(crate) south: f64,
    /// Degrees east of Greenwich of the eastern edge.
    pub(crate) east: f64,
    /// Degrees north of the equator of the northern edge.
    pub(crate) north: f64,
}

impl Bounds {
    pub(crate) fn rect(&self) -> Rect {
        Rect {
            min: Point::from_degrees(self.west, self.north).xy(),
            max: Point::from_degrees(self.east, self.south).xy(),
        }
    }
}

/// A closed line; the last point is not repeated.
pub(crate) type Ring = Vec<Point>;

/// An outer ring and the holes in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polygon {
    pub(crate) outer: Ring,
    pub(crate) holes: Vec<Ring>,
}

/// The shape of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Geometry {
    Point(Point),
    Line(Vec<Point>),
    Area(Vec<Polygon>),
}

impl Geometry {
    /// The rectangle around it.
    pub(crate) fn rect(&self) -> Option<Rect> {
        match self {
            Geometry::Point(point) => Rect::around([*point]),
            Geometry::Line(points) => Rect::around(points.iter().copied()),
            Geometry::Area(polygons) => {
                Rect::around(polygons.iter().flat_map(|p| p.outer.iter().copied()))
            }
        }
    }
}

/// Twice the signed area of a ring: above 0 when it runs clockwise on the screen (y to the south).
pub(crate) fn doubled_area(ring: &[[f64; 2]]) -> f64 {
    // Relative to the first point, so that small rings far from the origin lose no digits.
    let Some(&[x0, y0]) = ring.first() else {
        return 0.0;
    };
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .map(|(a, b)| (a[0] - x0) * (b[1] - y0) - (b[0] - x0) * (a[1] - y0))
        .sum()
}

/// The area of polygons on the plane in Web Mercator's square metres, as Shortbread's `way_area` wants it.
pub(crate) fn mercator_area_m2(polygons: &[Polygon]) -> f64 {
    let unit_m = EQUATOR_M / WORLD;
    let of = |ring: &Ring| doubled_area(&xy(ring)).abs() / 2.0;
    let units: f64 = polygons
        .iter()
        .map(|p| of(&p.outer) - p.holes.iter().map(of).sum::<f64>())
        .sum();
    units * unit_m * unit_m
}

/// Whether `point` is inside `ring`, by the even-odd rule.
pub(crate) fn encloses(ring: &[Point], point: Point) -> bool {
    let [px, py] = point.xy();
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .filter(|(a, b)| (a.y > point.y) != (b.y > point.y))
        .filter(|(a, b)| {
            let ([ax, ay], [bx, by]) = (a.xy(), b.xy());
            px < ax + (py - ay) / (by - ay) * (bx - ax)
        })
        .count()
        % 2
        == 1
}

/// A ring or line as floating point.
pub(crate) fn xy(points: &[Point]) -> Vec<[f64; 2]> {
    points.iter().map(|p| p.xy()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_has_greenwich_and_the_equator_in_its_middle() {
        let half = 1 << 31;
        assert_eq!(Point::from_degrees(0.0, 0.0), Point { x: half, y: half });
        assert_eq!(
            Point::from_degrees(-180.0, MAX_LATITUDE_DEG),
            Point { x: 0, y: 0 }
        );
        // Tile 14/4823/6160 holds New York's City Hall (40.7128, -74.0060).
        let city_hall = Point::from_degrees(-74.0060, 40.7128);
        assert_eq!((city_hall.x >> 18, city_hall.y >> 18), (4823, 6160));
    }

    #[test]
    fn a_clockwise_ring_has_positive_area_and_encloses_its_middle() {
        let ring: Ring = [(10, 10), (20, 10), (20, 20), (10, 20)]
            .map(|(x, y)| Point { x, y })
            .to_vec();
        assert_eq!(doubled_area(&xy(&ring)), 200.0);
        assert!(encloses(&ring, Point { x: 15, y: 15 }));
        assert!(!encloses(&ring, Point { x: 25, y: 15 }));
        assert!(!encloses(&ring, Point { x: 5, y: 15 }));
    }
}
