//! Makes roads meet: where two lines cross, or one ends at another, they get a common vertex.
//!
//! 1. An end near another line is moved onto it.
//! 2. Lines that cross on the ground are cut there.
//! 3. Meeting points closer together than [`Tolerance::merge`] on one line become one.
//! 4. A stub that sticks out past its last meeting point is dropped; of a one-way line however long it is, since it
//!    leads nowhere.

use std::collections::HashMap;

use crate::geometry::{Foot, Point, crossing, length, nearest};
use crate::road::Line;
use crate::segments::Segments;

/// Distances in metres within which lines are taken to meet. All are guesses that suit a hand-drawn map.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// An end this near to another line joins it.
    pub snap: f64,
    /// Meeting points this near to each other along a line are one.
    pub merge: f64,
    /// A two-way dead end shorter than this is cut off.
    pub stub: f64,
}

/// A vertex of a line: how far along it, where, and which meeting point it is, if one.
#[derive(Debug, Clone, Copy)]
struct Vertex {
    along: f64,
    point: Point,
    meeting: Option<usize>,
}

/// Gives `lines` common vertices where they meet. `touches` are known meeting points: (line, point on it).
pub fn join(mut lines: Vec<Line>, touches: &[(usize, Point)], tolerance: Tolerance) -> Vec<Line> {
    let mut meetings = Meetings::default();
    let mut cuts: Vec<Vec<(f64, usize)>> = vec![Vec::new(); lines.len()];
    for &(line, point) in touches {
        cuts[line].push((
            nearest(&lines[line].points, point).along,
            meetings.at(point),
        ));
    }
    snap_ends(&mut lines, &mut cuts, &mut meetings, tolerance);
    cut_crossings(&lines, &mut cuts, &mut meetings);
    for cuts in &mut cuts {
        cuts.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in cuts.windows(2) {
            if pair[1].0 - pair[0].0 < tolerance.merge {
                meetings.unite(pair[0].1, pair[1].1);
            }
        }
    }
    let joined = lines.into_iter().zip(cuts).map(|(line, cuts)| {
        let points = vertices(&line, &cuts, &mut meetings, tolerance);
        Line { points, ..line }
    });
    joined.filter(|line| line.points.len() > 1).collect()
}

/// Points where lines meet; those united are one point.
#[derive(Default)]
struct Meetings {
    points: Vec<Point>,
    parents: Vec<usize>,
    by_position: HashMap<(i64, i64), usize>,
}

impl Meetings {
    /// The meeting at `point`, the same one for the same millimetre.
    fn at(&mut self, point: Point) -> usize {
        let key = (
            (point.x * 1e3).round() as i64,
            (point.y * 1e3).round() as i64,
        );
        *self.by_position.entry(key).or_insert_with(|| {
            self.points.push(point);
            self.parents.push(self.points.len() - 1);
            self.points.len() - 1
        })
    }

    fn root(&mut self, mut meeting: usize) -> usize {
        while self.parents[meeting] != meeting {
            self.parents[meeting] = self.parents[self.parents[meeting]];
            meeting = self.parents[meeting];
        }
        meeting
    }

    /// The older of the two keeps its place.
    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

fn snap_ends(
    lines: &mut [Line],
    cuts: &mut [Vec<(f64, usize)>],
    meetings: &mut Meetings,
    tolerance: Tolerance,
) {
    for i in 0..lines.len() {
        for at_end in [false, true] {
            let index = if at_end { lines[i].points.len() - 1 } else { 0 };
            let end = lines[i].points[index];
            let Some((other, mut foot)) = nearest_other(lines, i, end, tolerance.snap) else {
                continue;
            };
            let long = length(&lines[other].points);
            if foot.along < tolerance.merge {
                (foot.along, foot.point) = (0.0, lines[other].points[0]);
            } else if foot.along > long - tolerance.merge {
                (foot.along, foot.point) =
                    (long, lines[other].points[lines[other].points.len() - 1]);
            }
            lines[i].points[index] = foot.point;
            let meeting = meetings.at(foot.point);
            cuts[other].push((foot.along, meeting));
            let along = if at_end {
                length(&lines[i].points)
            } else {
                0.0
            };
            cuts[i].push((along, meeting));
        }
    }
}

/// The line nearest to an end of line `i` and the place on it. The middle of a line that stands apart counts only if
/// the end lies exactly on it.
fn nearest_other(lines: &[Line], i: usize, end: Point, snap: f64) -> Option<(usize, Foot)> {
    let mut best: Option<(usize, Foot)> = None;
    for (j, other) in lines.iter().enumerate().filter(|(j, _)| *j != i) {
        let foot = nearest(&other.points, end);
        let at_its_end = foot.along < snap || foot.along > length(&other.points) - snap;
        let reach = if other.apart && !at_its_end {
            0.01
        } else {
            snap
        };
        if foot.distance <= reach
            && best.is_none_or(|(_, nearest)| foot.distance < nearest.distance)
        {
            best = Some((j, foot));
        }
    }
    best
}

fn cut_crossings(lines: &[Line], cuts: &mut [Vec<(f64, usize)>], meetings: &mut Meetings) {
    let segments = Segments::of(lines);
    for (a, b) in segments.near_pairs() {
        if let Some((t, u)) = crossing(segments.ends(a), segments.ends(b)) {
            let ([a0, a1], [b0, b1]) = (segments.ends(a), segments.ends(b));
            let meeting = meetings.at(a0.towards(a1, t));
            cuts[segments.all[a].line].push((segments.all[a].along + t * a0.distance(a1), meeting));
            cuts[segments.all[b].line].push((segments.all[b].along + u * b0.distance(b1), meeting));
        }
    }
}

/// The vertices of a line after all meetings are known.
fn vertices(
    line: &Line,
    cuts: &[(f64, usize)],
    meetings: &mut Meetings,
    tolerance: Tolerance,
) -> Vec<Point> {
    let mut all = Vec::new();
    let mut along = 0.0;
    for (i, &point) in line.points.iter().enumerate() {
        along += if i == 0 {
            0.0
        } else {
            line.points[i - 1].distance(point)
        };
        all.push(Vertex {
            along,
            point,
            meeting: None,
        });
    }
    let long = along;
    for &(along, meeting) in cuts {
        let root = meetings.root(meeting);
        all.push(Vertex {
            along,
            point: meetings.points[root],
            meeting: Some(root),
        });
    }
    all.sort_by(|a, b| a.along.total_cmp(&b.along));
    let meets: Vec<f64> = all
        .iter()
        .filter(|vertex| vertex.meeting.is_some())
        .map(|vertex| vertex.along)
        .collect();
    let (mut from, mut to) = (0.0, long);
    if let (Some(&first), Some(&last), false) = (meets.first(), meets.last(), line.apart) {
        from = if first < tolerance.stub { first } else { 0.0 };
        to = if long - last < tolerance.stub {
            last
        } else {
            long
        };
    }
    let crowded = |along: f64| {
        meets
            .iter()
            .any(|meet| (meet - along).abs() < tolerance.merge)
    };
    all.retain(|vertex| {
        (from..=to).contains(&vertex.along) && (vertex.meeting.is_some() || !crowded(vertex.along))
    });
    let mut points: Vec<Point> = all.into_iter().map(|vertex| vertex.point).collect();
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osm::Tags;

    const TOLERANCE: Tolerance = Tolerance {
        snap: 20.0,
        merge: 5.0,
        stub: 30.0,
    };

    fn line(apart: bool, points: &[(f64, f64)]) -> Line {
        Line {
            points: points.iter().map(|&(x, y)| Point { x, y }).collect(),
            tags: Tags::new(),
            apart,
        }
    }

    fn joined(lines: Vec<Line>) -> Vec<Vec<(f64, f64)>> {
        let points = |line: Line| line.points.iter().map(|p| (p.x, p.y)).collect();
        join(lines, &[], TOLERANCE)
            .into_iter()
            .map(points)
            .collect()
    }

    #[test]
    fn crossing_lines_share_a_vertex() {
        let lines = joined(vec![
            line(false, &[(-100.0, 0.0), (100.0, 0.0)]),
            line(false, &[(0.0, -100.0), (0.0, 100.0)]),
        ]);
        assert_eq!(
            lines,
            [
                [(-100.0, 0.0), (0.0, 0.0), (100.0, 0.0)],
                [(0.0, -100.0), (0.0, 0.0), (0.0, 100.0)]
            ]
        );
    }

    #[test]
    fn a_bridge_crosses_without_meeting() {
        let lines = joined(vec![
            line(true, &[(-100.0, 0.0), (100.0, 0.0)]),
            line(false, &[(0.0, -100.0), (0.0, 100.0)]),
        ]);
        assert_eq!(lines[0].len() + lines[1].len(), 4);
    }

    #[test]
    fn short_ends_reach_the_road_and_stubs_go() {
        let lines = joined(vec![
            line(false, &[(-100.0, 0.0), (100.0, 0.0)]),
            line(false, &[(0.0, 200.0), (0.0, 12.0)]),
            line(false, &[(50.0, 200.0), (50.0, -25.0)]),
        ]);
        assert_eq!(
            lines[0],
            [(-100.0, 0.0), (0.0, 0.0), (50.0, 0.0), (100.0, 0.0)]
        );
        assert_eq!(lines[1], [(0.0, 200.0), (0.0, 0.0)]);
        assert_eq!(lines[2], [(50.0, 200.0), (50.0, 0.0)]);
    }

    #[test]
    fn three_lines_through_almost_one_point_meet_in_one() {
        let lines = joined(vec![
            line(false, &[(-100.0, 0.0), (100.0, 0.0)]),
            line(false, &[(0.0, -100.0), (0.0, 100.0)]),
            line(false, &[(-100.0, -98.0), (100.0, 102.0)]),
        ]);
        let middle = lines[0][1];
        assert!(
            lines
                .iter()
                .all(|line| line.len() == 3 && line[1] == middle),
            "{lines:?}"
        );
    }
}
