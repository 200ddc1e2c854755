//! Coastlines and the land they bound.

use anyhow::{Context, Result, bail};

use crate::geometry::{Point, crossing, winding};

/// The map's box on the plane.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// South-west corner.
    pub min: Point,
    /// North-east corner.
    pub max: Point,
}

impl Frame {
    fn contains(&self, p: Point) -> bool {
        (self.min.x..=self.max.x).contains(&p.x) && (self.min.y..=self.max.y).contains(&p.y)
    }

    /// Where the segment from `inside` to `outside` leaves the box, exactly on its edge.
    fn exit(&self, inside: Point, outside: Point) -> Point {
        let mut exit = outside;
        for edge in [self.min.x, self.max.x] {
            if (exit.x - edge) * (inside.x - edge) < 0.0 {
                exit = Point {
                    x: edge,
                    ..inside.towards(exit, (edge - inside.x) / (exit.x - inside.x))
                };
            }
        }
        for edge in [self.min.y, self.max.y] {
            if (exit.y - edge) * (inside.y - edge) < 0.0 {
                exit = Point {
                    y: edge,
                    ..inside.towards(exit, (edge - inside.y) / (exit.y - inside.y))
                };
            }
        }
        exit
    }
}

/// The outline of an island: closed, counter-clockwise, so that land is on the left.
pub fn island(mut points: Vec<Point>) -> Result<Vec<Point>> {
    if points.len() < 3 {
        bail!("an outline needs three points at least");
    }
    points.push(points[0]);
    if winding(&points) < 0.0 {
        points.reverse();
    }
    Ok(points)
}

/// The part of a shore inside `frame`. It must come from outside, run inside without a break, and leave.
pub fn clipped_shore(points: &[Point], frame: &Frame) -> Result<Vec<Point>> {
    let first = points
        .iter()
        .position(|&p| frame.contains(p))
        .context("lies outside the map")?;
    let inside = points[first..]
        .iter()
        .take_while(|&&p| frame.contains(p))
        .count();
    let last = first + inside;
    if first == 0 || last == points.len() || points[last..].iter().any(|&p| frame.contains(p)) {
        bail!("must begin outside the map, cross it once and end outside");
    }
    let mut clipped = vec![frame.exit(points[first], points[first - 1])];
    clipped.extend(&points[first..last]);
    clipped.push(frame.exit(points[last - 1], points[last]));
    Ok(clipped)
}

/// Tells land from water.
#[derive(Debug)]
pub struct Land {
    shores: Vec<Vec<Point>>,
    on_land: Point,
}

impl Land {
    /// Land bounded by `shores` (land on the left of the first; lakes may follow). Without any, all is land.
    pub fn new(shores: Vec<Vec<Point>>) -> Land {
        // A point just left of the first shore's first segment: parity is counted from there.
        let on_land = shores.first().map_or(Point { x: 0.0, y: 0.0 }, |shore| {
            let (a, b) = (shore[0], shore[1]);
            let middle = a.towards(b, 0.5);
            let scale = 0.01 / a.distance(b);
            Point {
                x: middle.x - (b.y - a.y) * scale,
                y: middle.y + (b.x - a.x) * scale,
            }
        });
        Land { shores, on_land }
    }

    /// Whether `point` is on land: the straight line to a point known to be on land crosses shores an even number of
    /// times.
    pub fn contains(&self, point: Point) -> bool {
        let crossings = |shore: &Vec<Point>| {
            shore
                .windows(2)
                .filter(|pair| crossing([point, self.on_land], [pair[0], pair[1]]).is_some())
                .count()
        };
        self.shores.iter().map(crossings).sum::<usize>() % 2 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    #[test]
    fn a_shore_is_cut_exactly_at_the_edge() {
        let frame = Frame {
            min: p(0.0, 0.0),
            max: p(10.0, 10.0),
        };
        let shore = clipped_shore(&[p(-5.0, 5.0), p(5.0, 5.0), p(5.0, 20.0)], &frame).unwrap();
        assert_eq!(shore, [p(0.0, 5.0), p(5.0, 5.0), p(5.0, 10.0)]);
        assert!(clipped_shore(&[p(5.0, 5.0), p(5.0, 20.0)], &frame).is_err());
    }

    #[test]
    fn land_is_left_of_the_shore() {
        let land = Land::new(vec![
            island(vec![p(0.0, 0.0), p(0.0, 10.0), p(10.0, 10.0), p(10.0, 0.0)]).unwrap(),
            vec![p(20.0, 50.0), p(20.0, -50.0)],
        ]);
        for (point, want) in [
            (p(5.0, 5.0), true),
            (p(15.0, 5.0), false),
            (p(25.0, 5.3), true),
            (p(-1.0, 5.1), false),
        ] {
            assert_eq!(land.contains(point), want, "{point:?}");
        }
    }
}
