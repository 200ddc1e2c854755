//! The tiles over HTTP: `/tiles.json` says where they are, `/tiles/{z}/{x}/{y}.mvt` are they.

use std::io::Read;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{MAX_ZOOM, TileId, Tiles, schema};

/// The addresses in `/tiles.json` carry the map's version, so what they return never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Without the version a tile may change when the map does: ask each time, by ETag.
const ASK: &str = "public, no-cache";

/// The two routes.
pub(crate) fn router(tiles: Arc<Tiles>) -> Router {
    Router::new()
        .route("/tiles.json", get(tile_json))
        .route("/tiles/{z}/{x}/{file}", get(tile))
        .with_state(tiles)
}

async fn tile(
    State(tiles): State<Arc<Tiles>>,
    Path((z, x, file)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(id) = tile_id(&z, &x, &file) else {
        tiles.metrics.count_tile("refused");
        return (StatusCode::NOT_FOUND, "no such tile\n").into_response();
    };
    let etag = format!("\"{}\"", tiles.version());
    let is_versioned = query.as_deref() == Some(&format!("v={}", tiles.version()));
    let common = [
        (header::ETAG, etag.clone()),
        (
            header::CACHE_CONTROL,
            (if is_versioned { FOREVER } else { ASK }).to_owned(),
        ),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    if mentions(&headers, header::IF_NONE_MATCH, &etag) {
        tiles.metrics.count_tile("not_modified");
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let tile = match tiles.tile(id).await {
        Ok(tile) => tile,
        Err(error) => {
            tracing::error!(?id, %error, "tile failed");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    if tile.is_empty() {
        return (StatusCode::NO_CONTENT, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/vnd.mapbox-vector-tile")];
    if mentions(&headers, header::ACCEPT_ENCODING, "gzip") {
        return (common, kind, [(header::CONTENT_ENCODING, "gzip")], tile).into_response();
    }
    match unpacked(&tile) {
        Ok(tile) => (common, kind, tile).into_response(),
        Err(error) => {
            tracing::error!(?id, %error, "tile failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn tile_id(z: &str, x: &str, file: &str) -> Option<TileId> {
    let y = file.strip_suffix(".mvt")?;
    TileId::new(z.parse().ok()?, x.parse().ok()?, y.parse().ok()?)
}

/// Whether a header that lists values lists this one, whatever its parameters (`gzip;q=0` is not worth the care).
fn mentions(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.split(';').next().unwrap_or_default().trim())
        .any(|item| item.strip_prefix("W/").unwrap_or(item) == wanted)
}

fn unpacked(tile: &Bytes) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(&tile[..]).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn tile_json(State(tiles): State<Arc<Tiles>>, headers: HeaderMap) -> Response {
    let Some(host) = host(&headers) else {
        return (StatusCode::BAD_REQUEST, "the host header is not a host\n").into_response();
    };
    let scheme = match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        _ => "http",
    };
    (
        [(header::CACHE_CONTROL, "no-cache")],
        Json(document(&tiles, scheme, host)),
    )
        .into_response()
}

/// TileJSON 3.0.0: <https://github.com/mapbox/tilejson-spec>. MapLibre wants the addresses absolute.
fn document(tiles: &Tiles, scheme: &str, host: &str) -> Value {
    let bounds = tiles.bounds();
    let version = tiles.version();
    json!({
        "tilejson": "3.0.0",
        "name": tiles.name(),
        "attribution": tiles.attribution(),
        "tiles": [format!("{scheme}://{host}/tiles/{{z}}/{{x}}/{{y}}.mvt?v={version}")],
        "scheme": "xyz",
        "minzoom": 0,
        "maxzoom": MAX_ZOOM,
        "bounds": [bounds.west, bounds.south, bounds.east, bounds.north],
        "vector_layers": schema::vector_layers(),
    })
}

/// The host and port that the browser asked, when they are well formed: they go into addresses and headers.
pub(crate) fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    is_host(host).then_some(host)
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) => {
                let is_v6 = v6.parse::<std::net::Ipv6Addr>().is_ok();
                (
                    is_v6,
                    port.strip_prefix(':').or((!port.is_empty()).then_some("")),
                )
            }
            None => return false,
        },
        None => {
            let (name, port) = match host.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, None),
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (!name.is_empty() && name.chars().all(plain), port)
        }
    };
    name && port
        .is_none_or(|port| port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for host in [
            "localhost",
            "127.0.0.1:8080",
            "maps.example.com",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a b", "a;b", "a/b", "a:b", "a:99999", "[::1", "[x]", "[::1]x", "a:1:2",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
