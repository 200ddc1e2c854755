//! Multipolygon relations: rings from ways that meet at their ends, and holes put into the ring around them.

use std::collections::HashMap;

use super::geometry::{Point, Polygon, Ring, encloses};

/// The polygons of a multipolygon's member lines. Lines that close no ring, because members are missing in an extract,
/// are left out, and so are holes without a ring around them.
pub(crate) fn polygons(outer: Vec<Vec<Point>>, inner: Vec<Vec<Point>>) -> Vec<Polygon> {
    with_holes(closed(outer), closed(inner))
}

/// Puts each hole into the outer ring that encloses it; holes in none are dropped.
pub(crate) fn with_holes(outer: Vec<Ring>, holes: Vec<Ring>) -> Vec<Polygon> {
    let mut polygons: Vec<Polygon> = outer
        .into_iter()
        .map(|outer| Polygon {
            outer,
            holes: Vec::new(),
        })
        .collect();
    for hole in holes {
        if let Some(polygon) = polygons.iter_mut().find(|p| lies_in(&hole, &p.outer)) {
            polygon.holes.push(hole);
        }
    }
    polygons
}

/// By most of its points, because a hole may touch the ring around it.
fn lies_in(hole: &Ring, outer: &Ring) -> bool {
    let inside = hole.iter().filter(|&&point| encloses(outer, point)).count();
    2 * inside > hole.len()
}

/// The rings that `lines` form when joined where their ends meet, in either direction.
fn closed(lines: Vec<Vec<Point>>) -> Vec<Ring> {
    let mut by_end: HashMap<Point, Vec<usize>> = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        for end in [line.first(), line.last()].into_iter().flatten() {
            by_end.entry(*end).or_default().push(i);
        }
    }
    let mut used = vec![false; lines.len()];
    let mut rings = Vec::new();
    for i in 0..lines.len() {
        if std::mem::replace(&mut used[i], true) {
            continue;
        }
        let mut chain = lines[i].clone();
        while chain.first() != chain.last() {
            let end = chain.last().copied();
            let next = end
                .and_then(|end| by_end.get(&end))
                .and_then(|candidates| candidates.iter().copied().find(|&j| !used[j]));
            let Some(j) = next else { break };
            used[j] = true;
            if lines[j].first().copied() == end {
                chain.extend(lines[j].iter().skip(1));
            } else {
                chain.extend(lines[j].iter().rev().skip(1));
            }
        }
        // A ring needs three corners and the first again.
        if chain.len() >= 4 && chain.first() == chain.last() {
            chain.pop();
            rings.push(chain);
        }
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(u32, u32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    #[test]
    fn ways_in_any_direction_make_a_ring_with_its_hole() {
        let outer = vec![
            line(&[(0, 0), (10, 0), (10, 10)]),
            line(&[(0, 0), (0, 10), (10, 10)]),
        ];
        let hole = vec![line(&[(2, 2), (4, 2), (4, 4), (2, 2)])];
        let polygons = polygons(outer, hole);
        assert_eq!(polygons.len(), 1);
        assert_eq!(polygons[0].outer.len(), 4);
        assert_eq!(polygons[0].holes, [line(&[(2, 2), (4, 2), (4, 4)])]);
    }

    #[test]
    fn missing_members_cost_only_their_own_ring() {
        let whole = line(&[(20, 20), (30, 20), (30, 30), (20, 20)]);
        let broken = line(&[(0, 0), (10, 0), (10, 10)]);
        assert_eq!(polygons(vec![whole, broken.clone()], vec![]).len(), 1);
        let only_holes = vec![line(&[(2, 2), (4, 2), (4, 4), (2, 2)])];
        assert!(polygons(vec![broken], only_holes).is_empty());
    }
}
