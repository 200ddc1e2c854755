//! Cuts lines and rings at an upright rectangle.

use super::geometry::Rect;

/// The parts of `line` inside `rect`, by Liang and Barsky. A part that only touches the edge counts.
pub(crate) fn line(line: &[[f64; 2]], rect: &Rect) -> Vec<Vec<[f64; 2]>> {
    let mut parts: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut open = false;
    for pair in line.windows(2) {
        let Some((enter, leave)) = inside(pair[0], pair[1], rect) else {
            open = false;
            continue;
        };
        match parts.last_mut().filter(|_| open) {
            Some(part) => part.push(at(pair[0], pair[1], leave)),
            None => parts.push(vec![
                at(pair[0], pair[1], enter),
                at(pair[0], pair[1], leave),
            ]),
        }
        open = leave == 1.0;
    }
    parts
}

/// The part of the segment `a`–`b` inside `rect`, as fractions of it.
fn inside(a: [f64; 2], b: [f64; 2], rect: &Rect) -> Option<(f64, f64)> {
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for axis in 0..2 {
        let step = b[axis] - a[axis];
        // How far along the segment each edge is crossed; `low` on the way in when going up this axis.
        let (low, high) = (rect.min[axis] - a[axis], rect.max[axis] - a[axis]);
        if step == 0.0 {
            if low > 0.0 || high < 0.0 {
                return None;
            }
            continue;
        }
        let (first, last) = if step > 0.0 { (low, high) } else { (high, low) };
        enter = enter.max(first / step);
        leave = leave.min(last / step);
    }
    (enter <= leave).then_some((enter, leave))
}

fn at(a: [f64; 2], b: [f64; 2], fraction: f64) -> [f64; 2] {
    match fraction {
        // Exactly the line's own points, so that neighbouring parts meet.
        0.0 => a,
        1.0 => b,
        _ => [
            a[0] + (b[0] - a[0]) * fraction,
            a[1] + (b[1] - a[1]) * fraction,
        ],
    }
}

/// The part of a ring (its last point not repeated) inside `rect`, by Sutherland and Hodgman. Where the ring leaves
/// and comes back, the result runs along the rectangle's edge. Empty when nothing is inside.
pub(crate) fn ring(ring: Vec<[f64; 2]>, rect: &Rect) -> Vec<[f64; 2]> {
    if ring.iter().all(|&point| rect.contains(point)) {
        return ring;
    }
    let mut ring = ring;
    for axis in 0..2 {
        ring = keep(&ring, axis, rect.min[axis], |value, edge| value >= edge);
        ring = keep(&ring, axis, rect.max[axis], |value, edge| value <= edge);
    }
    ring
}

/// The part of `ring` on the kept side of the line where coordinate `axis` is `edge`.
fn keep(
    ring: &[[f64; 2]],
    axis: usize,
    edge: f64,
    kept: impl Fn(f64, f64) -> bool,
) -> Vec<[f64; 2]> {
    let mut result = Vec::with_capacity(ring.len() + 4);
    let Some(&last) = ring.last() else {
        return result;
    };
    let mut from = last;
    for &to in ring {
        let (from_kept, to_kept) = (kept(from[axis], edge), kept(to[axis], edge));
        if from_kept != to_kept {
            let fraction = (edge - from[axis]) / (to[axis] - from[axis]);
            let mut crossing = at(from, to, fraction);
            crossing[axis] = edge;
            result.push(crossing);
        }
        if to_kept {
            result.push(to);
        }
        from = to;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::geometry::doubled_area;
    use super::*;

    const SQUARE: Rect = Rect {
        min: [0.0, 0.0],
        max: [10.0, 10.0],
    };

    #[test]
    fn a_line_is_cut_into_the_parts_inside() {
        for (input, expected) in [
            (
                vec![[2.0, 2.0], [8.0, 8.0]],
                vec![vec![[2.0, 2.0], [8.0, 8.0]]],
            ),
            (
                vec![[-5.0, 5.0], [15.0, 5.0]],
                vec![vec![[0.0, 5.0], [10.0, 5.0]]],
            ),
            (vec![[-5.0, -5.0], [-1.0, 20.0]], vec![]),
            // Passes the corner without touching the square, though its box overlaps it.
            (vec![[-6.0, 5.0], [5.0, -8.0]], vec![]),
            // Out and back in: two parts.
            (
                vec![[5.0, 5.0], [15.0, 5.0], [15.0, 8.0], [5.0, 8.0]],
                vec![vec![[5.0, 5.0], [10.0, 5.0]], vec![[10.0, 8.0], [5.0, 8.0]]],
            ),
            // A corner outside between two segments that both cross the square.
            (
                vec![[5.0, -5.0], [5.0, 5.0], [8.0, 5.0]],
                vec![vec![[5.0, 0.0], [5.0, 5.0], [8.0, 5.0]]],
            ),
        ] {
            assert_eq!(line(&input, &SQUARE), expected, "{input:?}");
        }
    }

    #[test]
    fn a_ring_is_cut_to_what_is_inside_and_keeps_its_direction() {
        let area = |ring: &[[f64; 2]]| doubled_area(ring) / 2.0;
        let around = vec![[-5.0, -5.0], [15.0, -5.0], [15.0, 15.0], [-5.0, 15.0]];
        assert_eq!(area(&ring(around.clone(), &SQUARE)), 100.0);
        let reversed = around.into_iter().rev().collect();
        assert_eq!(area(&ring(reversed, &SQUARE)), -100.0);
        let corner = vec![[5.0, 5.0], [20.0, 5.0], [20.0, 20.0], [5.0, 20.0]];
        assert_eq!(area(&ring(corner, &SQUARE)), 25.0);
        let elsewhere = vec![[20.0, 20.0], [30.0, 20.0], [30.0, 30.0]];
        assert_eq!(ring(elsewhere, &SQUARE), Vec::<[f64; 2]>::new());
        // A U whose bridge is outside: two arms, joined along the edge, of 2 x 5 each.
        let u = vec![
            [2.0, 5.0],
            [4.0, 5.0],
            [4.0, 12.0],
            [6.0, 12.0],
            [6.0, 5.0],
            [8.0, 5.0],
            [8.0, 15.0],
            [2.0, 15.0],
        ];
        assert_eq!(area(&ring(u, &SQUARE)), 20.0);
    }
}
