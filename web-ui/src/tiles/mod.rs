//! The base map: vector tiles in the Shortbread schema, cut on request from the OSM file that the vehicles drive on.
//!
//! `pbf` reads the file, `rules` say which tags become what, `rings` and `coastline` make areas of lines, `features`
//! puts it all into an index, `encode` cuts a tile out, `cache` keeps the last ones, `http` serves them.

mod cache;
mod clip;
mod coastline;
mod encode;
mod features;
mod geometry;
mod http;
mod pbf;
mod rings;
mod rules;
mod schema;

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use service::BadSetting;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use cache::Cache;
use features::Map;
pub(crate) use geometry::Bounds;
pub(crate) use http::{host, is_host, router};
pub(crate) use schema::MAX_ZOOM;

/// Memory for encoded tiles. A city has about 1 MB of them, a small country 10 MB.
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How the tool that made the maps in this repository signs its files, after the project's name.
const OWN_PROGRAM: &str = "map-compile";

/// A tile's address: column `x` and row `y` of 2^`z`, from the north-west.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TileId {
    pub(crate) z: u8,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

impl TileId {
    /// `None` when there is no such tile.
    pub(crate) fn new(z: u8, x: u32, y: u32) -> Option<TileId> {
        let in_range = z <= MAX_ZOOM && x < 1 << z && y < 1 << z;
        in_range.then_some(TileId { z, x, y })
    }
}

/// The tiles of one map.
pub(crate) struct Tiles {
    map: Arc<Map>,
    name: String,
    version: String,
    load: Duration,
    cache: Cache,
    /// As many tiles at once as there are cores: more would only make each of them later.
    permits: Arc<Semaphore>,
    metrics: Metrics,
}

impl Tiles {
    /// Reads the map. Blocks for as long as that takes: about a second for a city.
    ///
    /// # Errors
    /// When the file is missing, not a whole OSM PBF file, or holds nothing that a map shows.
    pub(crate) fn open(path: &Path, metrics: Metrics) -> Result<Tiles, BadSetting> {
        let bad = |reason: String| BadSetting(format!("map {}: {reason}", path.display()));
        let start = Instant::now();
        let bytes = std::fs::read(path).map_err(|error| bad(format!("can't read it: {error}")))?;
        let map = Map::read(&bytes).map_err(|error| bad(error.to_string()))?;
        if map.features.is_empty() {
            return Err(bad("it holds nothing to draw".to_owned()));
        }
        let load = start.elapsed();
        metrics.map_load.set(load.as_secs_f64());
        metrics.map_features.set(map.features.len() as i64);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Tiles {
            map: Arc::new(map),
            name: name(path),
            version: version(&bytes),
            load,
            cache: Cache::new(CACHE_BYTES_MAX),
            permits: Arc::new(Semaphore::new(cores)),
            metrics,
        })
    }

    /// The tile, packed with gzip; empty when nothing is on it.
    pub(crate) async fn tile(&self, id: TileId) -> anyhow::Result<Bytes> {
        if let Some(tile) = self.cache.get(id) {
            self.metrics
                .count_tile(if tile.is_empty() { "empty" } else { "cached" });
            return Ok(tile);
        }
        let permit = self.permits.clone().acquire_owned().await?;
        let map = self.map.clone();
        // The permit goes along: the work goes on when the browser that asked for it has left.
        let (tile, took) = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let start = Instant::now();
            (packed(&encode::tile(&map, id)), start.elapsed())
        })
        .await?;
        let tile = tile?;
        self.metrics.tile_render.observe(took.as_secs_f64());
        self.metrics
            .count_tile(if tile.is_empty() { "empty" } else { "rendered" });
        let bytes = self.cache.put(id, tile.clone());
        self.metrics.tile_cache_bytes.set(bytes as i64);
        Ok(tile)
    }

    /// The file's name, made readable: `lower-manhattan.osm.pbf` is `Lower Manhattan`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the map is.
    pub(crate) fn bounds(&self) -> Bounds {
        self.map.bounds
    }

    /// The middle of the map: longitude and latitude in degrees.
    pub(crate) fn center(&self) -> [f64; 2] {
        let Bounds {
            west,
            south,
            east,
            north,
        } = self.bounds();
        [(west + east) / 2.0, (south + north) / 2.0]
    }

    /// The zoom level at which the whole map fits into a window of 1000 by 800 pixels, for a page that has not
    /// measured its own yet.
    pub(crate) fn zoom_to_fit(&self) -> f64 {
        let rect = self.bounds().rect();
        let world = (1u64 << 32) as f64;
        let zoom = |axis: usize, pixels: f64| {
            let share = ((rect.max[axis] - rect.min[axis]) / world).max(f64::MIN_POSITIVE);
            (pixels / 512.0 / share).log2()
        };
        // In hundredths: it is shown in addresses.
        (zoom(0, 1000.0)
            .min(zoom(1, 800.0))
            .clamp(0.0, f64::from(MAX_ZOOM))
            * 100.0)
            .round()
            / 100.0
    }

    /// Who is to be named beside the map.
    pub(crate) fn attribution(&self) -> &'static str {
        if self.map.writing_program.ends_with(OWN_PROGRAM) {
            "Map: Convoy, CC0"
        } else {
            "© OpenStreetMap contributors"
        }
    }

    /// Changes with the file and with this program, so that no browser mixes old tiles with new ones.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The number of features, and how long reading them took.
    pub(crate) fn size(&self) -> (usize, Duration) {
        (self.map.features.len(), self.load)
    }
}

/// A tile of a file's bytes, as it is before packing.
#[cfg(test)]
pub(crate) fn cut(bytes: &[u8], id: TileId) -> Result<Vec<u8>, String> {
    let map = Map::read(bytes).map_err(|error| error.to_string())?;
    Ok(encode::tile(&map, id))
}

fn packed(tile: &[u8]) -> std::io::Result<Bytes> {
    if tile.is_empty() {
        return Ok(Bytes::new());
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tile)?;
    Ok(gzip.finish()?.into())
}

fn version(bytes: &[u8]) -> String {
    let mut hash = DefaultHasher::new();
    hash.write(env!("CARGO_PKG_VERSION").as_bytes());
    hash.write(bytes);
    format!("{:016x}", hash.finish())
}

fn name(path: &Path) -> String {
    let file = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stem = file.split('.').next().unwrap_or_default();
    let words: Vec<String> = stem
        .split(['-', '_', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_named_after_its_file() {
        for (path, expected) in [
            ("data/manhattan.osm.pbf", "Manhattan"),
            ("/maps/lower-manhattan.osm.pbf", "Lower Manhattan"),
            ("élan_vital.pbf", "Élan Vital"),
            ("", ""),
        ] {
            assert_eq!(name(Path::new(path)), expected);
        }
    }

    #[test]
    fn tiles_end_at_level_14_and_at_the_edge_of_the_world() {
        assert!(TileId::new(0, 0, 0).is_some());
        assert!(TileId::new(14, 16383, 16383).is_some());
        assert!(TileId::new(14, 16384, 0).is_none());
        assert!(TileId::new(15, 0, 0).is_none());
    }
}
