//! From a [`Road`] as written to the lines that traffic follows.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::geometry::{Point, cut, length, offset};
use crate::osm::Tags;
use crate::source::Road;

/// One carriageway, street, ramp or path.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it runs; traffic of a one-way line runs in this order.
    pub points: Vec<Point>,
    /// Its tags as they will stand in the map.
    pub tags: Tags,
    /// Crosses other lines without meeting them; joins them at its ends only.
    pub apart: bool,
}

impl Line {
    /// Whether `name` is its name or its number.
    pub fn is_called(&self, name: &str) -> bool {
        ["name", "ref"]
            .iter()
            .any(|key| self.tags.get(*key).is_some_and(|value| value == name))
    }

    /// Whether traffic runs one way only.
    pub fn is_oneway(&self) -> bool {
        self.tags.contains_key("oneway")
    }
}

/// The lines of `road`, which runs through `points`: one, or two if it is divided.
pub fn lines(
    road: &Road,
    points: Vec<Point>,
    classes: &BTreeMap<String, Tags>,
) -> Result<Vec<Line>> {
    if points.len() < 2 {
        bail!("a road needs two points at least");
    }
    let is_closed = points[0] == points[points.len() - 1];
    let points = match (road.curved, is_closed) {
        (false, _) => points,
        (true, false) => curve(&points, false),
        (true, true) => curve(&points[1..], true),
    };
    let points = cut(&points, road.trim[0], length(&points) - road.trim[1]);
    let mut tags = classes.get(&road.class).cloned().unwrap_or_default();
    let mut set = |key: &str, value: &str| tags.insert(key.into(), value.into());
    set("highway", &road.class);
    if let Some(name) = &road.name {
        set("name", name);
    }
    if let Some(number) = &road.number {
        set("ref", number);
    }
    if let Some(lanes) = road.lanes {
        set("lanes", &lanes.to_string());
    }
    if road.oneway || road.dual.is_some() {
        set("oneway", "yes");
    }
    if road.bridge {
        set("bridge", "yes");
        set("layer", "1");
    }
    if road.tunnel {
        set("tunnel", "yes");
        set("layer", "-1");
    }
    tags.extend(road.tags.clone());
    let apart = road.apart || road.bridge || road.tunnel;
    let line = |points| Line {
        points,
        tags: tags.clone(),
        apart,
    };
    let Some(gap) = road.dual else {
        return Ok(vec![line(points)]);
    };
    let backwards: Vec<Point> = points.iter().rev().copied().collect();
    Ok([
        (points, road.trim),
        (backwards, [road.trim[1], road.trim[0]]),
    ]
    .into_iter()
    .map(|(way, trims)| {
        let mut right = offset(&way, gap / 2.0);
        let last = way.len() - 1;
        for (end, trim) in [(0, trims[0]), (last, trims[1])] {
            if trim == 0.0 && !is_closed {
                right[end] = way[end];
            }
        }
        line(right)
    })
    .collect())
}

/// Pieces that one span of a curve is drawn in.
const CURVE_PIECES: usize = 5;

/// A smooth line through `points` (Catmull–Rom); a `closed` one ends where it begins.
pub fn curve(points: &[Point], closed: bool) -> Vec<Point> {
    let count = points.len() as isize;
    let spans = if closed { count } else { count - 1 };
    let vertex = |i: isize| {
        let i = if closed {
            i.rem_euclid(count)
        } else {
            i.clamp(0, count - 1)
        };
        points[i as usize]
    };
    let mut smooth = Vec::new();
    for i in 0..spans {
        let [a, b, c, d] = [vertex(i - 1), vertex(i), vertex(i + 1), vertex(i + 2)];
        smooth.extend(
            (0..CURVE_PIECES).map(|piece| spline([a, b, c, d], piece as f64 / CURVE_PIECES as f64)),
        );
    }
    smooth.push(if closed { smooth[0] } else { vertex(count - 1) });
    smooth
}

/// The centripetal Catmull–Rom spline, which neither loops nor overshoots where points are unevenly spaced.
fn spline([a, b, c, d]: [Point; 4], t: f64) -> Point {
    let knot = |from: f64, p: Point, q: Point| from + p.distance(q).sqrt().max(1e-6);
    let t0 = 0.0;
    let t1 = knot(t0, a, b);
    let t2 = knot(t1, b, c);
    let t3 = knot(t2, c, d);
    let t = t1 + (t2 - t1) * t;
    let mix = |p: Point, q: Point, from: f64, to: f64| p.towards(q, (t - from) / (to - from));
    let (ab, bc, cd) = (mix(a, b, t0, t1), mix(b, c, t1, t2), mix(c, d, t2, t3));
    mix(mix(ab, bc, t0, t2), mix(bc, cd, t1, t3), t1, t2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    #[test]
    fn a_curve_passes_through_its_points() {
        let points = [p(0.0, 0.0), p(10.0, 5.0), p(30.0, 0.0)];
        let smooth = curve(&points, false);
        assert_eq!(smooth.len(), 2 * CURVE_PIECES + 1);
        for (i, point) in points.iter().enumerate() {
            assert!(smooth[i * CURVE_PIECES].distance(*point) < 1e-6);
        }
    }

    #[test]
    fn a_divided_road_is_two_one_way_lines_that_keep_right() {
        let road = Road {
            class: "motorway".into(),
            dual: Some(20.0),
            ..Road::default()
        };
        let both = lines(
            &road,
            vec![p(0.0, 0.0), p(100.0, 0.0), p(200.0, 0.0)],
            &BTreeMap::new(),
        )
        .unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(
            both[0].points,
            [p(0.0, 0.0), p(100.0, -10.0), p(200.0, 0.0)]
        );
        assert_eq!(both[1].points, [p(200.0, 0.0), p(100.0, 10.0), p(0.0, 0.0)]);
        assert!(both.iter().all(Line::is_oneway));
    }
}
