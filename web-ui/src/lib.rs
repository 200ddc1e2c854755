//! The live map: pages, tiles and the browser client.
//!
//! An `axum` server of one `askama` page, the TypeScript client embedded in the program, vector tiles cut from the OSM
//! file, and a small `/api`. It knows no Kafka and speaks no MQTT: the browser does that itself, with credentials that
//! can only subscribe. The page needs no other host than this one and the broker.

mod assets;
mod config;
mod metrics;
mod pages;
mod security;
#[cfg(test)]
mod tests;
mod tiles;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use prometheus_client::registry::Registry;
use service::Shutdown;
use service::admin::Ready;
use tokio::task::JoinHandle;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

pub use config::Config;
use config::PageConfig;
use metrics::Metrics;
use pages::Page;
use tiles::Tiles;

/// A request takes milliseconds; one that takes this long has been forgotten somewhere.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing is ever sent to this server but requests.
const BODY_BYTES_MAX: usize = 1024;
/// How long answers under way may take to end at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A running web UI.
pub struct WebUi {
    addr: SocketAddr,
    summary: String,
    server: JoinHandle<anyhow::Result<()>>,
}

impl WebUi {
    /// Reads the map, listens, and serves until `shutdown`.
    ///
    /// # Errors
    /// [`service::BadSetting`] for a setting or a map that can't be used; another error when the port can't be had.
    pub async fn start(config: Config, shutdown: Shutdown) -> anyhow::Result<WebUi> {
        let map = config.check()?;
        let addr = SocketAddr::new(config.listen_address, config.port);
        let listener = service::listen("web-ui", "WEB_UI_PORT", addr).await?;
        let addr = listener.local_addr().context("the web-ui's own address")?;
        let (router, summary) = load(&config, map).await?;
        let server = tokio::spawn(async move {
            let drain = shutdown.clone();
            let serve = axum::serve(listener, router)
                .with_graceful_shutdown(async move { drain.cancelled().await });
            let too_late = async {
                shutdown.cancelled().await;
                tokio::time::sleep(DRAIN_TIMEOUT).await;
            };
            tokio::select! {
                result = serve => result.context("web-ui"),
                () = too_late => Ok(()),
            }
        });
        Ok(WebUi {
            addr,
            summary,
            server,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One line on what it serves: the map, its size, how long it took to read.
    pub fn summary(&self) -> String {
        self.summary.clone()
    }

    /// Waits until it has ended, after `shutdown`.
    ///
    /// # Errors
    /// When serving failed.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.server.await.context("web-ui")?
    }
}

/// Reads the map and builds the router.
async fn load(config: &Config, map: PathBuf) -> anyhow::Result<(Router, String)> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let tiles = tokio::task::spawn_blocking(move || Tiles::open(&map, metrics)).await??;
    let (features, took) = tiles.size();
    let summary = format!(
        "map {}: {features} features, read in {:.2} s",
        tiles.name(),
        took.as_secs_f64()
    );
    Ok((router(config, tiles, registry)?, summary))
}

fn router(config: &Config, tiles: Tiles, registry: Registry) -> anyhow::Result<Router> {
    let page = Page {
        title: config.title.clone(),
        config: PageConfig::new(config, &tiles),
        links: assets::Links::embedded()?,
    };
    let ready = Ready::not_yet("starting");
    // Whoever can ask is answered only after the map was read.
    ready.set(Ok(()));
    let allowed = Arc::new(security::Allowed::new(config));
    Ok(Router::new()
        .merge(pages::router(Arc::new(page)))
        .merge(assets::router())
        .merge(tiles::router(Arc::new(tiles)))
        .merge(service::admin::router(Arc::new(registry), ready))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(from_fn_with_state(allowed, security::headers))
        .layer(TraceLayer::new_for_http()))
}
