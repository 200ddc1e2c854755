//! The admin port of a part: `/live` (the process runs), `/ready` (it can do its work), `/metrics` (Prometheus).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::Shutdown;

/// Whether a part can do its work, and if not, why. Clones share one state.
#[derive(Clone)]
pub struct Ready(Arc<Mutex<Result<(), String>>>);

impl Ready {
    /// Not ready yet, for this reason.
    pub fn not_yet(reason: &str) -> Self {
        Self(Arc::new(Mutex::new(Err(reason.to_owned()))))
    }

    /// Sets the state: `Err` holds the reason.
    pub fn set(&self, state: Result<(), String>) {
        *self.0.lock() = state;
    }

    /// The state now.
    pub fn get(&self) -> Result<(), String> {
        self.0.lock().clone()
    }
}

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    ready: Ready,
}

/// The three routes, to be served on their own port or merged into another router.
pub fn router(registry: Arc<Registry>, ready: Ready) -> Router {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(is_ready))
        .route("/metrics", get(metrics))
        .with_state(Admin { registry, ready })
}

/// Serves `router` until `shutdown`; returns the address at once.
///
/// # Errors
/// When the listener has no local address.
pub fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<SocketAddr> {
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        let stop = shutdown.cancelled_owned();
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stop)
            .await
        {
            tracing::error!(%error, "admin port failed");
        }
    });
    Ok(addr)
}

async fn is_ready(State(admin): State<Admin>) -> Response {
    match admin.ready.get() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
