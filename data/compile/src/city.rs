//! A city's own streets: a ring, four streets to its centre, a street to each of its places.

use crate::area::Land;
use crate::geometry::{Point, nearest};
use crate::source::{City, Road};

/// Corners of a ring.
const CORNERS: usize = 12;

/// Shares of the ring's radius that are tried, outermost first, until the corner is on land.
const SHARES: [f64; 8] = [1.0, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.1];

/// The streets of `city`, whose centre is at `centre` and whose places are at `places`, on `land`.
pub fn roads(city: &City, centre: Point, places: &[Point], land: &Land) -> Vec<(Road, Vec<Point>)> {
    let radius = city
        .ring
        .unwrap_or_else(|| f64::from(city.population).sqrt() * 4.0)
        .clamp(700.0, 6_000.0);
    let mut ring: Vec<Point> = (0..CORNERS)
        .map(|corner| ring_corner(corner, centre, radius, land))
        .collect();
    ring.push(ring[0]);
    let road = |class: &str, name: String| Road {
        name: Some(name),
        class: class.into(),
        ..Road::default()
    };
    let mut roads = Vec::new();
    for (spoke, name) in ["Via Emilia", "Corso Italia", "Via Roma", "Corso Garibaldi"]
        .into_iter()
        .enumerate()
    {
        let _ = name;
        let corner = ring[spoke * CORNERS / 4];
        let name = ["Viale Nord", "Viale Est", "Viale Sud", "Viale Ovest"][spoke];
        roads.push((
            road("primary", format!("{name} di {}", city.name)),
            vec![corner, centre],
        ));
    }
    for (place, (name, ..)) in places.iter().zip(&city.places) {
        let foot = nearest(&ring, *place);
        if foot.distance > 40.0 {
            roads.push((
                road("tertiary", format!("Via {name}")),
                vec![*place, foot.point],
            ));
        }
    }
    roads.push((
        road("secondary", format!("Circonvallazione di {}", city.name)),
        ring,
    ));
    roads
}

/// A corner of the ring, drawn in towards the centre until it and the way there are on land.
fn ring_corner(corner: usize, centre: Point, radius: f64, land: &Land) -> Point {
    let (sin, cos) = (corner as f64 / CORNERS as f64 * std::f64::consts::TAU).sin_cos();
    let out = Point {
        x: centre.x + radius * sin,
        y: centre.y + radius * cos,
    };
    let dry = |share: &f64| {
        (1..=4).all(|step| land.contains(centre.towards(out, share * f64::from(step) / 4.0 * 1.1)))
    };
    let share = SHARES
        .into_iter()
        .find(|share| dry(share))
        .unwrap_or(SHARES[SHARES.len() - 1]);
    centre.towards(out, share)
}
