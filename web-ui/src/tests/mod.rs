//! The whole server without a socket: requests go into the router, on real maps.

mod base_map;
mod file;
mod http;

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use clap::Parser;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::Config;

/// The router of a web UI on `map`, with more flags.
async fn web_ui(map: &Path, flags: &[&str]) -> Router {
    let map = map.to_str().unwrap();
    let config = Config::try_parse_from(["web-ui", "--map", map].iter().chain(flags)).unwrap();
    let map = config.check().unwrap();
    crate::load(&config, map).await.unwrap().0
}

/// The map in this repository.
fn shipped_manhattan() -> PathBuf {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../data/manhattan.osm.pbf"
    ))
    .to_owned()
}

/// A real extract, which is beside the repository on some machines only.
fn real_extract(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/osm")).join(name);
    if !path.exists() {
        eprintln!("skipped: needs ../shared/osm/{name}");
        return None;
    }
    Some(path)
}

async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn body(response: Response<Body>) -> Vec<u8> {
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .into()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(body(response).await).unwrap()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {:?}", response.headers()))
        .to_str()
        .unwrap()
}

async fn status(router: &Router, path: &str) -> StatusCode {
    get(router, path, &[("host", "localhost:8080")])
        .await
        .status()
}
