//! Ramps: between roads that stand apart, and between them and the streets.
//!
//! Each line that passes a junction can be left some way before it and joined some way after it. A ramp leads from
//! every leaving point to every joining point of the other roads, and to and from the street, so no movement is
//! missing and none goes against the traffic.

use anyhow::{Context, Result, bail};

use crate::geometry::{Point, crossing, length, nearest, point_at};
use crate::osm::Tags;
use crate::road::Line;

/// A junction with its places found.
pub struct Site<'a> {
    /// Its name.
    pub name: &'a str,
    /// Names or numbers of the roads.
    pub roads: &'a [String],
    /// Its middle.
    pub at: Option<Point>,
    /// The end of its street ramps.
    pub street: Option<Point>,
    /// Metres from the middle to where ramps leave.
    pub reach: f64,
    /// All ramps are bridges.
    pub bridge: bool,
}

/// One way in or out of a junction.
struct Arm {
    road: usize,
    line: usize,
    leave: Option<Point>,
    join: Option<Point>,
}

/// The ramps of `site`, and the places on `lines` where they begin and end: (line, point).
pub struct Ramps {
    /// The ramps.
    pub lines: Vec<Line>,
    /// Points that must become vertices of the lines they lie on.
    pub touches: Vec<(usize, Point)>,
}

/// How far a carriageway may pass from the middle and still belong to the junction, in multiples of the reach.
const NEAR: f64 = 2.0;

/// Builds the ramps of a junction.
pub fn ramps(site: &Site, lines: &[Line]) -> Result<Ramps> {
    let called = |road: &str| -> Vec<usize> {
        (0..lines.len())
            .filter(|&i| lines[i].is_called(road))
            .collect()
    };
    let first = called(site.roads.first().context("names no road")?);
    let at = match (site.at, site.street) {
        (Some(at), _) => at,
        (None, Some(street)) => {
            let feet = first.iter().map(|&i| nearest(&lines[i].points, street));
            feet.min_by(|a, b| a.distance.total_cmp(&b.distance))
                .context("its first road does not exist")?
                .point
        }
        (None, None) => bail!("needs `at` or `street`"),
    };
    let mut arms = Vec::new();
    for (road, name) in site.roads.iter().enumerate() {
        let before = arms.len();
        for line in called(name) {
            let foot = nearest(&lines[line].points, at);
            if foot.distance <= NEAR * site.reach {
                arms.extend(arms_of(&lines[line], line, road, foot.along, site.reach));
            }
        }
        if arms.len() == before {
            bail!("{name} does not pass within {} m", NEAR * site.reach);
        }
    }
    let mut movements = Vec::new();
    for from in &arms {
        for to in arms.iter().filter(|to| to.road != from.road) {
            movements.extend(from.leave.zip(to.join));
        }
        movements.extend(from.leave.zip(site.street));
        movements.extend(site.street.zip(from.join));
    }
    let mut touches = Vec::new();
    for arm in &arms {
        touches.extend(
            [arm.leave, arm.join]
                .into_iter()
                .flatten()
                .map(|point| (arm.line, point)),
        );
    }
    let class = &lines[arms[0].line].tags["highway"];
    let ramp = |(from, to): (Point, Point)| {
        let mut tags = Tags::new();
        tags.insert("highway".into(), format!("{class}_link"));
        tags.insert("oneway".into(), "yes".into());
        tags.insert("destination".into(), site.name.into());
        if site.bridge
            || arms
                .iter()
                .any(|arm| crosses(&lines[arm.line].points, from, to))
        {
            tags.insert("bridge".into(), "yes".into());
            tags.insert("layer".into(), "1".into());
        }
        Line {
            points: vec![from, to],
            tags,
            apart: true,
        }
    };
    Ok(Ramps {
        lines: movements
            .into_iter()
            .filter(|(from, to)| from != to)
            .map(ramp)
            .collect(),
        touches,
    })
}

/// The one or two directions in which a line passes the junction `along` metres from its start.
fn arms_of(line: &Line, index: usize, road: usize, along: f64, reach: f64) -> Vec<Arm> {
    let long = length(&line.points);
    let before = point_at(&line.points, (along - reach).max(0.0));
    let after = point_at(&line.points, (along + reach).min(long));
    // Nobody arrives by a line that starts here, or goes on by one that ends here.
    let (starts, ends) = (along < 1.0, along > long - 1.0);
    let forward = Arm {
        road,
        line: index,
        leave: (!starts).then_some(before),
        join: (!ends).then_some(after),
    };
    let backward = Arm {
        road,
        line: index,
        leave: (!ends).then_some(after),
        join: (!starts).then_some(before),
    };
    let forward = match (starts, ends) {
        (true, _) => Arm {
            join: Some(point_at(&line.points, 0.0)),
            ..forward
        },
        (_, true) => Arm {
            leave: Some(point_at(&line.points, long)),
            ..forward
        },
        _ => forward,
    };
    if line.is_oneway() {
        vec![forward]
    } else {
        vec![forward, backward]
    }
}

/// Whether the straight ramp crosses the line anywhere but at its own ends.
fn crosses(line: &[Point], from: Point, to: Point) -> bool {
    line.windows(2).any(|pair| {
        crossing([from, to], [pair[0], pair[1]]).is_some_and(|(t, _)| t > 1e-6 && t < 1.0 - 1e-6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        let tags = [("highway", "motorway"), ("oneway", "yes"), ("ref", name)];
        let tags = tags
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        Line {
            points: points.iter().map(|&(x, y)| Point { x, y }).collect(),
            tags,
            apart: true,
        }
    }

    fn movements(ramps: &Ramps) -> Vec<((f64, f64), (f64, f64))> {
        let ends = |line: &Line| {
            (
                (line.points[0].x, line.points[0].y),
                (line.points[1].x, line.points[1].y),
            )
        };
        ramps.lines.iter().map(ends).collect()
    }

    #[test]
    fn an_exit_has_a_ramp_each_way_for_each_carriageway() {
        let lines = [
            line("A1", &[(-900.0, -10.0), (900.0, -10.0)]),
            line("A1", &[(900.0, 10.0), (-900.0, 10.0)]),
        ];
        let street = Some(Point { x: 0.0, y: 100.0 });
        let site = Site {
            name: "Town",
            roads: &["A1".into()],
            at: None,
            street,
            reach: 200.0,
            bridge: false,
        };
        let ramps = ramps(&site, &lines).unwrap();
        let want = [
            ((-200.0, -10.0), (0.0, 100.0)),
            ((0.0, 100.0), (200.0, -10.0)),
            ((200.0, 10.0), (0.0, 100.0)),
            ((0.0, 100.0), (-200.0, 10.0)),
        ];
        assert_eq!(movements(&ramps), want);
        let bridges: Vec<bool> = ramps
            .lines
            .iter()
            .map(|line| line.tags.contains_key("bridge"))
            .collect();
        assert_eq!(bridges, [true, true, false, false]);
    }

    #[test]
    fn where_a_road_ends_nobody_goes_on() {
        let lines = [
            line("A1", &[(-900.0, 0.0), (900.0, 0.0)]),
            line("A14", &[(0.0, 500.0), (0.0, 20.0)]),
        ];
        let at = Some(Point { x: 0.0, y: 0.0 });
        let site = Site {
            name: "J",
            roads: &["A1".into(), "A14".into()],
            at,
            street: None,
            reach: 200.0,
            bridge: false,
        };
        assert_eq!(
            movements(&ramps(&site, &lines).unwrap()),
            [((0.0, 20.0), (200.0, 0.0))]
        );
    }
}
