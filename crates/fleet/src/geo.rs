//! Points, distances and bearings on the sphere (mean radius 6 371 008.8 m, by the `geo` crate's haversine).

use ::geo::{Bearing, Destination, Distance, Haversine, Point};
use serde::{Deserialize, Serialize};

/// A WGS84 position in degrees: `lat` in [-90, 90], `lng` in [-180, 180].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatLng {
    /// Degrees north of the equator.
    pub lat: f64,
    /// Degrees east of Greenwich.
    pub lng: f64,
}

impl LatLng {
    /// A position from degrees north and degrees east.
    pub const fn new(lat: f64, lng: f64) -> Self {
        Self { lat, lng }
    }

    /// Whether both coordinates are finite and in range.
    pub fn is_valid(self) -> bool {
        (-90.0..=90.0).contains(&self.lat) && (-180.0..=180.0).contains(&self.lng)
    }

    /// The way to `other` along the great circle, in metres.
    pub fn distance_m(self, other: Self) -> f64 {
        Haversine.distance(self.into(), other.into())
    }

    /// The direction in which `other` lies: degrees clockwise from true north, [0, 360).
    pub fn bearing_deg(self, other: Self) -> f64 {
        Haversine
            .bearing(self.into(), other.into())
            .rem_euclid(360.0)
    }

    /// The point `distance_m` metres away in the direction `bearing_deg`.
    pub fn offset(self, bearing_deg: f64, distance_m: f64) -> Self {
        let p = Haversine.destination(self.into(), bearing_deg, distance_m);
        Self::new(p.y(), p.x())
    }

    /// The point at `fraction` of the straight way to `other`; 0 is here, 1 is there.
    /// Linear in degrees, which is exact enough between two nodes of a road.
    pub fn lerp(self, other: Self, fraction: f64) -> Self {
        Self::new(
            self.lat + (other.lat - self.lat) * fraction,
            self.lng + (other.lng - self.lng) * fraction,
        )
    }
}

impl From<LatLng> for Point {
    fn from(p: LatLng) -> Self {
        Self::new(p.lng, p.lat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMBUS_CIRCLE: LatLng = LatLng::new(40.7681, -73.9819);

    #[test]
    fn a_degree_of_latitude_is_111_km() {
        let north = LatLng::new(COLUMBUS_CIRCLE.lat + 1.0, COLUMBUS_CIRCLE.lng);
        assert!((COLUMBUS_CIRCLE.distance_m(north) - 111_195.0).abs() < 10.0);
    }

    #[test]
    fn bearings_go_clockwise_from_north() {
        let at = |dlat, dlng| LatLng::new(COLUMBUS_CIRCLE.lat + dlat, COLUMBUS_CIRCLE.lng + dlng);
        for (target, expected) in [
            (at(0.1, 0.0), 0.0),
            (at(0.0, 0.1), 90.0),
            (at(-0.1, 0.0), 180.0),
            (at(0.0, -0.1), 270.0),
        ] {
            let bearing = COLUMBUS_CIRCLE.bearing_deg(target);
            assert!(
                (bearing - expected).abs() < 0.1,
                "{bearing} is not {expected}"
            );
        }
    }

    #[test]
    fn offset_is_the_inverse_of_distance_and_bearing() {
        let there = COLUMBUS_CIRCLE.offset(29.0, 1_000.0);
        assert!((COLUMBUS_CIRCLE.distance_m(there) - 1_000.0).abs() < 0.01);
        assert!((COLUMBUS_CIRCLE.bearing_deg(there) - 29.0).abs() < 0.01);
    }

    #[test]
    fn nan_and_out_of_range_are_not_valid() {
        assert!(COLUMBUS_CIRCLE.is_valid());
        for p in [
            LatLng::new(f64::NAN, 0.0),
            LatLng::new(0.0, f64::INFINITY),
            LatLng::new(90.1, 0.0),
            LatLng::new(0.0, -180.1),
        ] {
            assert!(!p.is_valid(), "{p:?}");
        }
    }
}
