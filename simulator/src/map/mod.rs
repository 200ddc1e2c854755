//! The map: from an OpenStreetMap file to a road graph with places, ready to drive on.

mod cache;
mod connected;
pub mod pbf;
mod place_class;
mod prepare;
pub mod profile;
pub mod restriction;
mod roads;
mod size;
mod snap;
mod turns;
mod units;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet::{Kind, LatLng};
use serde::{Deserialize, Serialize};
use service::BadSetting;

pub use prepare::prepare;
pub use roads::{Component, Location, Place, Prepared, Road, RoadId, RoadMap, Shape};

#[cfg(test)]
pub(crate) use prepare::tests as roads_for_tests;

/// A position in units of 1e-7 degrees, as OpenStreetMap has it: exact, and half the size of a [`LatLng`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// North of the equator, [-900 000 000, 900 000 000].
    pub lat: i32,
    /// East of Greenwich, [-1 800 000 000, 1 800 000 000].
    pub lng: i32,
}

impl Point {
    /// A point, unless it lies outside of the world.
    pub fn from_decimicro(lat: i32, lng: i32) -> Option<Self> {
        let fits = lat.unsigned_abs() <= 900_000_000 && lng.unsigned_abs() <= 1_800_000_000;
        fits.then_some(Self { lat, lng })
    }
}

impl From<Point> for LatLng {
    fn from(point: Point) -> Self {
        Self::new(f64::from(point.lat) * 1e-7, f64::from(point.lng) * 1e-7)
    }
}

/// Why a map can't be used, on one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be opened.
    #[error("can't open map {path}: {reason}; name one with --map FILE.osm.pbf")]
    Open {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// Its bytes are not a whole `.osm.pbf` file.
    #[error("can't read map {path}: {reason}; download it again or name another with --map")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to drive on.
    #[error("map {path} has no roads that a {kind} can drive in a circle; name another with --map")]
    NoRoads {
        /// The file.
        path: String,
        /// Who wanted to drive.
        kind: Kind,
    },
}

impl Error {
    fn open(path: &Path, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        };
        Self::Open {
            path: path.display().to_string(),
            reason,
        }
    }

    fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged {
            path: path.display().to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// A map that is ready, and how it got so.
#[derive(Debug)]
pub struct Loaded {
    /// The map.
    pub map: RoadMap,
    /// Whether it came from the cache.
    pub cached: bool,
    /// How long that took.
    pub took: Duration,
}

/// Loads the map for `kind`: from the cache if it has been prepared before, else from the file.
///
/// # Errors
/// A [`BadSetting`] when the file can't be used.
pub fn load(path: &Path, cache_dir: Option<PathBuf>, kind: Kind) -> Result<Loaded, BadSetting> {
    let start = Instant::now();
    let loaded = |prepared: Prepared, cached| Loaded {
        map: RoadMap::new(prepared),
        cached,
        took: start.elapsed(),
    };
    let bad = |error: Error| BadSetting(error.to_string());
    let cache = cache::Entry::new(path, cache_dir, kind).map_err(bad)?;
    if let Some(prepared) = cache.load() {
        return Ok(loaded(prepared, true));
    }
    let prepared = build(path, kind).map_err(bad)?;
    cache.store(&prepared);
    Ok(loaded(prepared, false))
}

fn build(path: &Path, kind: Kind) -> Result<Prepared, Error> {
    // The decoder panics on bytes that no honest writer makes (an index past the end of a string table).
    let extract = std::panic::catch_unwind(|| pbf::read(path, kind))
        .unwrap_or_else(|_| Err(Error::damaged(path, "its blocks make no sense")))?;
    prepare(&extract, kind).ok_or_else(|| Error::NoRoads {
        path: path.display().to_string(),
        kind,
    })
}
