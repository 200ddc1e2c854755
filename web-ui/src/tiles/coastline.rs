//! The sea from `natural=coastline`: lines with land on their left and water on their right.
//!
//! Around a city like New York the rivers are sea too: no water polygon, only coastlines. An extract cuts them, so most
//! of them don't close. Cut at the edge of the map's box they are easy: water lies to their right, and the box's edge,
//! followed clockwise from where one line leaves the box to where the next enters, closes the ring. Lines that end
//! *inside* the box (an extract without the nodes outside, or with ways missing) are first joined with each other or
//! run straight out to the edge, whichever invents less shore.

use std::collections::HashMap;

use super::clip;
use super::geometry::{Point, Polygon, Rect, Ring, doubled_area};
use super::rings::with_holes;

/// An end this close to the box's edge lies on it: 16 units are under 16 cm, more than rounding and less than data.
const ON_EDGE: f64 = 16.0;

/// The polygons of the sea in `area`; none when no coastline crosses it.
pub(crate) fn sea(coastlines: Vec<Vec<Point>>, area: &Rect) -> Vec<Polygon> {
    let mut lines = Vec::new();
    let (mut water, mut islands) = (Vec::new(), Vec::new());
    for chain in join(coastlines) {
        let chain: Vec<[f64; 2]> = chain.into_iter().map(Point::xy).collect();
        let is_ring = chain.len() > 3 && chain.first() == chain.last();
        match chain.iter().position(|&point| !area.contains(point)) {
            None if is_ring => {
                let ring = &chain[1..];
                let side = if doubled_area(ring) > 0.0 {
                    &mut water
                } else {
                    &mut islands
                };
                side.push(to_ring(ring));
            }
            // A ring is cut where it is outside, so that its first point is not an end.
            Some(outside) if is_ring => {
                let mut open = chain[outside..].to_vec();
                open.extend(&chain[1..=outside]);
                lines.extend(clip::line(&open, area));
            }
            _ => lines.extend(clip::line(&chain, area)),
        }
    }
    lines.retain(|line| line.first() != line.last());
    join_loose_ends(&mut lines, area);
    for line in &mut lines {
        run_out(line, area);
    }
    let no_shore_at_edge = lines.is_empty();
    water.extend(close_along_edge(&lines, area));
    let in_no_water = |island: &Ring| {
        island.first().is_some_and(|&point| {
            !water
                .iter()
                .any(|ring| super::geometry::encloses(ring, point))
        })
    };
    // Islands and nothing else: the whole box is sea around them.
    if no_shore_at_edge && islands.iter().any(in_no_water) {
        let corner = |i| edge_point(perimeter_of_corner(i, area), area);
        water.push(to_ring(&[corner(0), corner(1), corner(2), corner(3)]));
    }
    with_holes(water, islands)
}

/// Joins lines where one's last point is another's first.
fn join(lines: Vec<Vec<Point>>) -> Vec<Vec<Point>> {
    let mut by_start: HashMap<Point, usize> = HashMap::new();
    let mut has_predecessor = vec![false; lines.len()];
    for (i, line) in lines.iter().enumerate() {
        if let Some(&first) = line.first() {
            by_start.insert(first, i);
        }
    }
    let next = |line: &[Point]| line.last().and_then(|end| by_start.get(end)).copied();
    for line in &lines {
        if let Some(j) = next(line) {
            has_predecessor[j] = true;
        }
    }
    let mut used = vec![false; lines.len()];
    let mut chains = Vec::new();
    // Open chains begin at a line without a predecessor; what remains after them are rings.
    let begins = (0..lines.len()).filter(|&i| !has_predecessor[i]);
    for begin in begins.chain(0..lines.len()) {
        let mut chain: Vec<Point> = Vec::new();
        let mut at = Some(begin);
        while let Some(i) = at.filter(|&i| !std::mem::replace(&mut used[i], true)) {
            chain.extend(lines[i].iter().skip(usize::from(!chain.is_empty())));
            at = next(&lines[i]);
        }
        if chain.len() > 1 {
            chains.push(chain);
        }
    }
    chains
}

/// Joins ends inside the area with starts inside it where the gap is shorter than running both out to the edge; the
/// shortest gap first. A line is never joined with itself: that would turn a cut-off shore into an island.
fn join_loose_ends(lines: &mut Vec<Vec<[f64; 2]>>, area: &Rect) {
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, from) in lines.iter().enumerate() {
            for (j, to) in lines.iter().enumerate() {
                let (end, start) = (from[from.len() - 1], to[0]);
                if i == j || edge_gap(end, area) <= ON_EDGE || edge_gap(start, area) <= ON_EDGE {
                    continue;
                }
                let gap = (end[0] - start[0]).hypot(end[1] - start[1]);
                let is_shorter = gap < edge_gap(end, area) + edge_gap(start, area);
                if is_shorter && best.is_none_or(|(shortest, ..)| gap < shortest) {
                    best = Some((gap, i, j));
                }
            }
        }
        let Some((_, i, j)) = best else { return };
        let tail = std::mem::take(&mut lines[j]);
        lines[i].extend(tail);
        lines.remove(j);
    }
}

/// Runs both ends of a line out to the nearest edge.
fn run_out(line: &mut Vec<[f64; 2]>, area: &Rect) {
    let (start, end) = (line[0], line[line.len() - 1]);
    line.insert(0, nearest_on_edge(start, area));
    line.push(nearest_on_edge(end, area));
}

fn edge_gap([x, y]: [f64; 2], area: &Rect) -> f64 {
    let horizontal = (x - area.min[0]).min(area.max[0] - x);
    let vertical = (y - area.min[1]).min(area.max[1] - y);
    horizontal.min(vertical)
}

fn nearest_on_edge([x, y]: [f64; 2], area: &Rect) -> [f64; 2] {
    let gap = edge_gap([x, y], area);
    if gap == x - area.min[0] {
        [area.min[0], y]
    } else if gap == area.max[0] - x {
        [area.max[0], y]
    } else if gap == y - area.min[1] {
        [x, area.min[1]]
    } else {
        [x, area.max[1]]
    }
}

/// Rings of water from lines whose ends lie on the area's edge.
fn close_along_edge(lines: &[Vec<[f64; 2]>], area: &Rect) -> Vec<Ring> {
    let length = perimeter_of_corner(4, area);
    let starts: Vec<f64> = lines.iter().map(|line| perimeter(line[0], area)).collect();
    let ahead = |from: f64, to: f64| (to - from).rem_euclid(length);
    let mut used = vec![false; lines.len()];
    let mut rings = Vec::new();
    for first in 0..lines.len() {
        let mut ring: Vec<[f64; 2]> = Vec::new();
        let mut at = first;
        while !std::mem::replace(&mut used[at], true) {
            ring.extend(&lines[at]);
            let end = perimeter(lines[at][lines[at].len() - 1], area);
            let Some(next) = (0..lines.len())
                .min_by(|&a, &b| ahead(end, starts[a]).total_cmp(&ahead(end, starts[b])))
            else {
                break;
            };
            let way = ahead(end, starts[next]);
            let mut corners: Vec<f64> = (0..4)
                .map(|i| ahead(end, perimeter_of_corner(i, area)))
                .filter(|&corner| corner < way)
                .collect();
            corners.sort_by(f64::total_cmp);
            ring.extend(
                corners
                    .iter()
                    .map(|corner| edge_point((end + corner).rem_euclid(length), area)),
            );
            at = next;
        }
        if ring.len() >= 3 {
            rings.push(to_ring(&ring));
        }
    }
    rings
}

/// How far along the edge a point on it is, clockwise from the north-west corner.
fn perimeter([x, y]: [f64; 2], area: &Rect) -> f64 {
    let gaps = [
        (y - area.min[1], x - area.min[0]),
        (area.max[0] - x, y - area.min[1]),
        (area.max[1] - y, area.max[0] - x),
        (x - area.min[0], area.max[1] - y),
    ];
    let side = (0..4)
        .min_by(|&a, &b| gaps[a].0.total_cmp(&gaps[b].0))
        .unwrap_or(0);
    perimeter_of_corner(side, area) + gaps[side].1
}

/// Where the corners are: north-west, north-east, south-east, south-west, and north-west again after the whole round.
fn perimeter_of_corner(i: usize, area: &Rect) -> f64 {
    let (width, height) = (area.max[0] - area.min[0], area.max[1] - area.min[1]);
    [
        0.0,
        width,
        width + height,
        2.0 * width + height,
        2.0 * (width + height),
    ][i]
}

fn edge_point(perimeter: f64, area: &Rect) -> [f64; 2] {
    let [width, half, three] = [1, 2, 3].map(|i| perimeter_of_corner(i, area));
    match perimeter {
        p if p < width => [area.min[0] + p, area.min[1]],
        p if p < half => [area.max[0], area.min[1] + (p - width)],
        p if p < three => [area.max[0] - (p - half), area.max[1]],
        p => [area.min[0], area.max[1] - (p - three)],
    }
}

fn to_ring(points: &[[f64; 2]]) -> Ring {
    let mut ring: Ring = points
        .iter()
        .map(|&[x, y]| Point {
            x: x.round() as u32,
            y: y.round() as u32,
        })
        .collect();
    ring.dedup();
    ring
}

#[cfg(test)]
mod tests {
    use super::super::geometry::encloses;
    use super::*;

    const BOX: Rect = Rect {
        min: [1000.0, 1000.0],
        max: [2000.0, 2000.0],
    };

    fn line(points: &[(u32, u32)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    fn is_sea(sea: &[Polygon], (x, y): (u32, u32)) -> bool {
        let point = Point { x, y };
        sea.iter()
            .any(|p| encloses(&p.outer, point) && !p.holes.iter().any(|hole| encloses(hole, point)))
    }

    /// Checks which of the points are sea.
    fn check(coastlines: &[&[(u32, u32)]], wet: &[(u32, u32)], dry: &[(u32, u32)]) {
        let sea = sea(coastlines.iter().map(|points| line(points)).collect(), &BOX);
        for &point in wet {
            assert!(is_sea(&sea, point), "{point:?} should be sea in {sea:?}");
        }
        for &point in dry {
            assert!(!is_sea(&sea, point), "{point:?} should be land in {sea:?}");
        }
    }

    #[test]
    fn without_coastlines_there_is_no_sea() {
        assert!(sea(vec![], &BOX).is_empty());
        // A shore outside of the box says nothing about the inside.
        assert!(sea(vec![line(&[(10, 10), (20, 20)])], &BOX).is_empty());
    }

    #[test]
    fn a_shore_across_the_box_has_water_on_its_right() {
        // Northwards through the middle: east is water.
        check(
            &[&[(1500, 2000), (1500, 1000)]],
            &[(1900, 1500)],
            &[(1100, 1500)],
        );
        // Southwards: west is water. The ways reach beyond the box and are two.
        check(
            &[&[(1500, 900), (1500, 1500)], &[(1500, 1500), (1500, 2200)]],
            &[(1100, 1500)],
            &[(1900, 1500)],
        );
    }

    #[test]
    fn a_peninsula_between_two_rivers_stays_land() {
        // Like Manhattan: in from the north, round the tip, out to the north; the far shores at both sides.
        check(
            &[
                &[(1400, 1000), (1400, 1700), (1600, 1700), (1600, 1000)],
                &[(1200, 2000), (1200, 1000)],
                &[(1800, 1000), (1800, 2000)],
            ],
            &[(1300, 1500), (1700, 1500), (1500, 1900)],
            &[(1500, 1500), (1100, 1500), (1900, 1500)],
        );
    }

    #[test]
    fn islands_alone_are_holes_in_a_box_of_sea() {
        // Counter-clockwise on the screen: land inside.
        let island: &[(u32, u32)] = &[
            (1400, 1400),
            (1400, 1600),
            (1600, 1600),
            (1600, 1400),
            (1400, 1400),
        ];
        check(&[island], &[(1100, 1100), (1900, 1900)], &[(1500, 1500)]);
        // With a shore at the edge the island lies in that water.
        check(
            &[island, &[(1200, 2000), (1200, 1000)]],
            &[(1300, 1500), (1900, 1500)],
            &[(1500, 1500), (1100, 1500)],
        );
    }

    #[test]
    fn an_island_that_the_box_cuts_is_land_to_the_edge() {
        check(
            &[&[
                (1600, 1400),
                (900, 1400),
                (900, 1600),
                (1600, 1600),
                (1600, 1400),
            ]],
            &[(1100, 1200), (1900, 1500), (1100, 1800)],
            &[(1100, 1500), (1500, 1500)],
        );
    }

    #[test]
    fn a_clockwise_ring_is_a_bay_with_land_around() {
        check(
            &[&[
                (1400, 1400),
                (1600, 1400),
                (1600, 1600),
                (1400, 1600),
                (1400, 1400),
            ]],
            &[(1500, 1500)],
            &[(1100, 1100)],
        );
    }

    #[test]
    fn ends_inside_the_box_run_out_to_its_edge() {
        check(
            &[&[(1500, 1960), (1500, 1050)]],
            &[(1900, 1500), (1900, 1010)],
            &[(1100, 1500), (1100, 1990)],
        );
    }

    #[test]
    fn ends_near_each_other_are_joined() {
        // A way is missing in the middle: the gap of 100 is shorter than 2 x 450 to the edge.
        check(
            &[&[(1500, 2000), (1500, 1550)], &[(1500, 1450), (1500, 1000)]],
            &[(1900, 1500), (1510, 1500)],
            &[(1100, 1500), (1490, 1500)],
        );
    }

    #[test]
    fn the_shortest_gap_is_joined_first() {
        // An island cut off at its north, with gaps in both shores: they go before the wide open north.
        check(
            &[
                &[(1350, 1250), (1380, 1500)],
                &[(1390, 1600), (1400, 1800), (1600, 1800), (1610, 1600)],
                &[(1620, 1500), (1650, 1250)],
            ],
            &[(1200, 1550), (1800, 1550), (1500, 1900)],
            &[(1500, 1550), (1500, 1100)],
        );
    }

    #[test]
    fn a_cut_off_shore_is_not_closed_into_an_island() {
        // The upper part of the island is not in the data: its land must not become water.
        check(
            &[&[(1400, 1500), (1400, 1800), (1600, 1800), (1600, 1500)]],
            &[(1200, 1800), (1800, 1800), (1500, 1900)],
            &[(1500, 1600), (1500, 1200)],
        );
    }
}
