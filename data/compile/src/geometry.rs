//! Plane geometry in metres around the middle of a map.

/// A position as people write it: degrees, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatLng {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lng: f64,
}

/// A point of the plane: metres east and north of the map's middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Metres east.
    pub x: f64,
    /// Metres north.
    pub y: f64,
}

/// Metres in a degree of latitude (WGS 84, mean).
const METRES_PER_DEGREE: f64 = 111_195.0;

/// The plane that touches the earth at one latitude. Distances are true to 0.1 % over a city; over a country east-west
/// ones are some percent off, which only tolerances and the gap between carriageways notice.
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    middle: LatLng,
    metres_per_degree_lng: f64,
}

impl Plane {
    /// The plane around `middle`.
    pub fn around(middle: LatLng) -> Plane {
        Plane {
            middle,
            metres_per_degree_lng: METRES_PER_DEGREE * middle.lat.to_radians().cos(),
        }
    }

    /// From degrees to metres.
    pub fn flatten(&self, at: LatLng) -> Point {
        Point {
            x: (at.lng - self.middle.lng) * self.metres_per_degree_lng,
            y: (at.lat - self.middle.lat) * METRES_PER_DEGREE,
        }
    }

    /// From metres to degrees.
    pub fn unflatten(&self, point: Point) -> LatLng {
        LatLng {
            lat: self.middle.lat + point.y / METRES_PER_DEGREE,
            lng: self.middle.lng + point.x / self.metres_per_degree_lng,
        }
    }
}

impl Point {
    /// Metres to `other`.
    pub fn distance(self, other: Point) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The point a fraction `t` of the way to `other`.
    pub fn towards(self, other: Point, t: f64) -> Point {
        Point {
            x: self.x + (other.x - self.x) * t,
            y: self.y + (other.y - self.y) * t,
        }
    }
}

/// Length of a polyline in metres.
pub fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|pair| pair[0].distance(pair[1])).sum()
}

/// A place on a polyline: how far along it, how far from the point asked for, and where.
#[derive(Clone, Copy, Debug)]
pub struct Foot {
    /// Metres from the start of the line.
    pub along: f64,
    /// Metres from the point asked for.
    pub distance: f64,
    /// The place itself.
    pub point: Point,
}

/// The place on `line` nearest to `point`. A line has at least two points.
pub fn nearest(line: &[Point], point: Point) -> Foot {
    let mut best = Foot {
        along: 0.0,
        distance: f64::INFINITY,
        point,
    };
    let mut start = 0.0;
    for pair in line.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let long = a.distance(b);
        let dot = (point.x - a.x) * (b.x - a.x) + (point.y - a.y) * (b.y - a.y);
        let t = if long == 0.0 {
            0.0
        } else {
            (dot / (long * long)).clamp(0.0, 1.0)
        };
        let foot = a.towards(b, t);
        let distance = foot.distance(point);
        if distance < best.distance {
            best = Foot {
                along: start + t * long,
                distance,
                point: foot,
            };
        }
        start += long;
    }
    best
}

/// The point `along` metres from the start of `line`, held to its ends.
pub fn point_at(line: &[Point], along: f64) -> Point {
    let mut left = along.max(0.0);
    for pair in line.windows(2) {
        let long = pair[0].distance(pair[1]);
        if left <= long && long > 0.0 {
            return pair[0].towards(pair[1], left / long);
        }
        left -= long;
    }
    line[line.len() - 1]
}

/// The part of `line` between two distances from its start.
pub fn cut(line: &[Point], from: f64, to: f64) -> Vec<Point> {
    let mut part = vec![point_at(line, from)];
    let mut along = 0.0;
    for pair in line.windows(2) {
        along += pair[0].distance(pair[1]);
        if along > from && along < to {
            part.push(pair[1]);
        }
    }
    part.push(point_at(line, to));
    part
}

/// Where segments `a` and `b` cross, as fractions along each; `None` where they do not or are parallel.
pub fn crossing(a: [Point; 2], b: [Point; 2]) -> Option<(f64, f64)> {
    let (dax, day) = (a[1].x - a[0].x, a[1].y - a[0].y);
    let (dbx, dby) = (b[1].x - b[0].x, b[1].y - b[0].y);
    let cross = dax * dby - day * dbx;
    if cross.abs() < 1e-9 {
        return None;
    }
    let (ox, oy) = (b[0].x - a[0].x, b[0].y - a[0].y);
    let t = (ox * dby - oy * dbx) / cross;
    let u = (ox * day - oy * dax) / cross;
    ((0.0..=1.0).contains(&t) && (0.0..=1.0).contains(&u)).then_some((t, u))
}

/// The line `metres` to the right of `line` (to the left if negative), each corner mitred. A closed line stays closed.
pub fn offset(line: &[Point], metres: f64) -> Vec<Point> {
    let normal = |a: Point, b: Point| {
        let long = a.distance(b);
        Point {
            x: (b.y - a.y) / long,
            y: (a.x - b.x) / long,
        }
    };
    let last = line.len() - 1;
    let is_closed = line[0] == line[last];
    (0..=last)
        .map(|i| {
            let into = if i > 0 || !is_closed { i.max(1) } else { last };
            let out = if i < last || !is_closed {
                i.min(last - 1)
            } else {
                0
            };
            let before = normal(line[into - 1], line[into]);
            let after = normal(line[out], line[out + 1]);
            let (x, y) = (before.x + after.x, before.y + after.y);
            // A hairpin would throw its mitre far away: never further than twice the offset.
            let scale = metres * 2.0 / (x * x + y * y).max(1.0);
            Point {
                x: line[i].x + x * scale,
                y: line[i].y + y * scale,
            }
        })
        .collect()
}

/// Twice the signed area inside a closed line; positive when it runs counter-clockwise.
pub fn winding(ring: &[Point]) -> f64 {
    ring.windows(2)
        .map(|pair| pair[0].x * pair[1].y - pair[1].x * pair[0].y)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    #[test]
    fn flatten_and_back_is_the_same_place() {
        let plane = Plane::around(LatLng {
            lat: 40.78,
            lng: -73.97,
        });
        let back = plane.unflatten(plane.flatten(LatLng {
            lat: 40.7,
            lng: -74.02,
        }));
        assert!((back.lat - 40.7).abs() < 1e-12 && (back.lng + 74.02).abs() < 1e-12);
    }

    #[test]
    fn nearest_point_lies_on_the_line() {
        let foot = nearest(&[p(0.0, 0.0), p(10.0, 0.0), p(10.0, 10.0)], p(12.0, 4.0));
        assert_eq!(
            (foot.along, foot.distance, foot.point),
            (14.0, 2.0, p(10.0, 4.0))
        );
    }

    #[test]
    fn crossing_tells_where_on_both() {
        let cross = crossing([p(0.0, 0.0), p(10.0, 0.0)], [p(4.0, -1.0), p(4.0, 3.0)]);
        assert_eq!(cross, Some((0.4, 0.25)));
        assert_eq!(
            crossing([p(0.0, 0.0), p(1.0, 0.0)], [p(0.0, 1.0), p(1.0, 1.0)]),
            None
        );
    }

    #[test]
    fn offset_goes_right_and_mitres() {
        let right = offset(&[p(0.0, 0.0), p(10.0, 0.0), p(10.0, 10.0)], 2.0);
        let want = [p(0.0, -2.0), p(12.0, -2.0), p(12.0, 10.0)];
        assert!(
            right.iter().zip(want).all(|(a, b)| a.distance(b) < 1e-9),
            "{right:?}"
        );
    }

    #[test]
    fn offset_of_a_closed_line_is_closed() {
        let square = [
            p(0.0, 0.0),
            p(10.0, 0.0),
            p(10.0, 10.0),
            p(0.0, 10.0),
            p(0.0, 0.0),
        ];
        let right = offset(&square, 1.0);
        assert!(
            right[0].distance(p(-1.0, -1.0)) < 1e-9 && right[4].distance(right[0]) < 1e-9,
            "{right:?}"
        );
    }

    #[test]
    fn cut_keeps_what_lies_between() {
        let line = [p(0.0, 0.0), p(10.0, 0.0), p(20.0, 0.0)];
        assert_eq!(
            cut(&line, 4.0, 16.0),
            [p(4.0, 0.0), p(10.0, 0.0), p(16.0, 0.0)]
        );
    }

    #[test]
    fn counter_clockwise_is_positive() {
        assert!(winding(&[p(0.0, 0.0), p(1.0, 0.0), p(1.0, 1.0), p(0.0, 0.0)]) > 0.0);
    }
}
