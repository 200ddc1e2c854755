//! What the web UI counts, for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Handles to every metric of this part; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// `web_ui_tile_requests_total{result}`
    pub(crate) tile_requests: Family<TileResult, Counter>,
    /// `web_ui_tile_render_seconds`
    pub(crate) tile_render: Histogram,
    /// `web_ui_tile_cache_bytes`
    pub(crate) tile_cache_bytes: Gauge,
    /// `web_ui_map_features`
    pub(crate) map_features: Gauge,
    /// `web_ui_map_load_seconds`
    pub(crate) map_load: Gauge<f64, std::sync::atomic::AtomicU64>,
}

/// How a tile was answered: `cached`, `rendered`, `empty`, `not_modified` or `refused`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TileResult {
    pub(crate) result: &'static str,
}

/// From well under a tile's usual time to well over its target of 20 ms.
const RENDER_BUCKETS_S: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0];

impl Metrics {
    /// Creates the metrics and adds them to `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            tile_requests: Family::default(),
            tile_render: Histogram::new(RENDER_BUCKETS_S),
            tile_cache_bytes: Gauge::default(),
            map_features: Gauge::default(),
            map_load: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("web_ui");
        registry.register(
            "tile_requests",
            "Map tiles asked for, by how they were answered",
            metrics.tile_requests.clone(),
        );
        registry.register_with_unit(
            "tile_render",
            "Time to cut a tile out of the map",
            Unit::Seconds,
            metrics.tile_render.clone(),
        );
        registry.register_with_unit(
            "tile_cache",
            "Size of the tiles kept in memory",
            Unit::Bytes,
            metrics.tile_cache_bytes.clone(),
        );
        registry.register(
            "map_features",
            "Features of the map that is served",
            metrics.map_features.clone(),
        );
        registry.register_with_unit(
            "map_load",
            "Time to read the map at start",
            Unit::Seconds,
            metrics.map_load.clone(),
        );
        metrics
    }

    pub(crate) fn count_tile(&self, result: &'static str) {
        self.tile_requests
            .get_or_create(&TileResult { result })
            .inc();
    }
}
