//! The page, and the same facts for programs.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::assets::Links;
use crate::config::PageConfig;

/// All that the server knows of the page; the client builds the rest.
#[derive(Template)]
#[template(path = "page.html")]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) config: PageConfig,
    pub(crate) links: Links,
}

/// `/` and `/api/config`.
pub(crate) fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/api/config", get(config))
        .with_state(page)
}

/// Never kept: it names the assets of this build.
const NO_CACHE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-cache")];

async fn index(State(page): State<Arc<Page>>) -> Response {
    match page.render() {
        Ok(html) => (NO_CACHE, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "page failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn config(State(page): State<Arc<Page>>) -> Response {
    (NO_CACHE, Json(&page.config)).into_response()
}
