//! Finds segments that may cross, without trying every pair.

use crate::geometry::Point;
use crate::road::Line;

/// The segments of all lines on the ground.
pub struct Segments {
    /// Line by line, each from its start.
    pub all: Vec<Segment>,
}

/// One segment of a line.
pub struct Segment {
    /// The line's index.
    pub line: usize,
    /// Metres from the line's start to the segment's.
    pub along: f64,
    ends: [Point; 2],
}

impl Segments {
    /// The segments of those `lines` that do not stand apart.
    pub fn of(lines: &[Line]) -> Segments {
        let mut all = Vec::new();
        for (line, of) in lines.iter().enumerate().filter(|(_, line)| !line.apart) {
            let mut along = 0.0;
            for pair in of.points.windows(2) {
                all.push(Segment {
                    line,
                    along,
                    ends: [pair[0], pair[1]],
                });
                along += pair[0].distance(pair[1]);
            }
        }
        Segments { all }
    }

    /// The two ends of a segment.
    pub fn ends(&self, segment: usize) -> [Point; 2] {
        self.all[segment].ends
    }

    /// Pairs of segments of different lines whose boxes overlap, in order, by a sweep from west to east.
    pub fn near_pairs(&self) -> Vec<(usize, usize)> {
        let west = |i: usize| self.all[i].ends[0].x.min(self.all[i].ends[1].x);
        let east = |i: usize| self.all[i].ends[0].x.max(self.all[i].ends[1].x);
        let south = |i: usize| self.all[i].ends[0].y.min(self.all[i].ends[1].y);
        let north = |i: usize| self.all[i].ends[0].y.max(self.all[i].ends[1].y);
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by(|&a, &b| west(a).total_cmp(&west(b)));
        let mut pairs = Vec::new();
        for (rank, &a) in order.iter().enumerate() {
            for &b in order[rank + 1..]
                .iter()
                .take_while(|&&b| west(b) <= east(a))
            {
                if self.all[a].line != self.all[b].line
                    && south(b) <= north(a)
                    && south(a) <= north(b)
                {
                    pairs.push((a.min(b), a.max(b)));
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osm::Tags;

    #[test]
    fn only_overlapping_segments_of_different_lines_are_pairs() {
        let line = |apart, points: &[(f64, f64)]| Line {
            points: points.iter().map(|&(x, y)| Point { x, y }).collect(),
            tags: Tags::new(),
            apart,
        };
        let lines = [
            line(false, &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)]),
            line(false, &[(5.0, -5.0), (5.0, 5.0)]),
            line(true, &[(5.0, -5.0), (5.0, 5.0)]),
        ];
        let segments = Segments::of(&lines);
        assert_eq!(segments.all.len(), 3);
        assert_eq!(segments.near_pairs(), [(0, 2)]);
    }
}
