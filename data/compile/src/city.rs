//! A city's own streets: a ring, four streets to its centre, a street to each of its places. Their names are Italian, as
//! the one map with cities is.

use crate::area::Land;
use crate::geometry::{Point, nearest};
use crate::source::{City, Road};

/// Corners of a ring.
const CORNERS: usize = 12;

/// Shares of the ring's radius that are tried for a corner, outermost first, until it is on land.
const SHARES: [f64; 8] = [1.0, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.1];

/// The streets of `city`, whose centre is at `centre` and whose places are at `places`, on `land`.
pub fn roads(city: &City, centre: Point, places: &[Point], land: &Land) -> Vec<(Road, Vec<Point>)> {
    // Metres; a guess that gives Rome 6 km and a town of 20,000 its 700 m.
    let radius = city
        .ring
        .unwrap_or_else(|| f64::from(city.population).sqrt() * 4.0)
        .clamp(700.0, 6_000.0);
    let ring = ring(centre, radius, land);
    let road = |class: &str, name: String| Road {
        name: Some(name),
        class: class.into(),
        ..Road::default()
    };
    let mut roads = Vec::new();
    for (spoke, side) in ["Nord", "Est", "Sud", "Ovest"].into_iter().enumerate() {
        roads.push((
            road("primary", format!("Viale {side}")),
            vec![ring[spoke * CORNERS / 4], centre],
        ));
    }
    for (place, (name, ..)) in places.iter().zip(&city.places) {
        let foot = nearest(&ring, *place);
        if foot.distance > AT_THE_ROAD {
            roads.push((
                road("tertiary", format!("Via {name}")),
                vec![*place, foot.point],
            ));
        }
    }
    if city.population >= LARGE {
        let inner = self::ring(centre, radius / 2.0, land);
        roads.push((road("secondary", format!("Viali di {}", city.name)), inner));
    }
    roads.push((
        road("secondary", format!("Circonvallazione di {}", city.name)),
        ring,
    ));
    roads
}

/// Inhabitants of a city with a second, inner ring.
const LARGE: u32 = 100_000;

/// Metres within which a place needs no street of its own.
const AT_THE_ROAD: f64 = 40.0;

/// A closed ring around `centre`, drawn in where the sea is.
fn ring(centre: Point, radius: f64, land: &Land) -> Vec<Point> {
    let mut shares = [0; CORNERS];
    let corner = |i: usize, shares: &[usize; CORNERS]| {
        let (sin, cos) = ((i % CORNERS) as f64 / CORNERS as f64 * std::f64::consts::TAU).sin_cos();
        let out = Point {
            x: centre.x + radius * sin,
            y: centre.y + radius * cos,
        };
        centre.towards(out, SHARES[shares[i % CORNERS]])
    };
    // A little beyond the corner must be dry too, so that the ring does not run on the very shore.
    let dry = |a: Point, b: Point| {
        (0..=10).all(|step| land.contains(a.towards(b, f64::from(step) / 9.0)))
    };
    let last = SHARES.len() - 1;
    loop {
        let before = shares;
        for i in 0..CORNERS {
            let (a, b) = (corner(i, &shares), corner(i + 1, &shares));
            if !dry(centre, a) {
                shares[i] = last.min(shares[i] + 1);
            } else if dry(centre, b) && !dry(a, b) {
                shares[i] = last.min(shares[i] + 1);
                shares[(i + 1) % CORNERS] = last.min(shares[(i + 1) % CORNERS] + 1);
            }
        }
        if shares == before {
            return (0..=CORNERS).map(|i| corner(i, &shares)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_stays_on_land() {
        let coast = vec![
            Point {
                x: 300.0,
                y: -9_000.0,
            },
            Point {
                x: 300.0,
                y: 9_000.0,
            },
        ];
        let land = Land::new(vec![coast]);
        let ring = ring(Point { x: 0.0, y: 0.0 }, 2_000.0, &land);
        assert_eq!(ring[0], ring[CORNERS]);
        assert!(ring.iter().all(|corner| corner.x < 300.0), "{ring:?}");
        assert!(ring.iter().any(|corner| corner.x < -1_900.0), "{ring:?}");
    }
}
