//! What the server answers: pages, headers, tiles' status, refusals.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::{body, get, header, shipped_manhattan, status, text, web_ui};

/// A tile in the middle of Manhattan, and the one at the tip of the map's world.
const TILE: &str = "/tiles/14/4825/6156.mvt";
const HOST: (&str, &str) = ("host", "maps.example.com:8080");

#[tokio::test]
async fn the_page_links_to_assets_and_carries_its_configuration() {
    let flags = ["--title", "</script><b>", "--mqtt-username", "map"];
    let router = web_ui(&shipped_manhattan(), &flags).await;
    let response = get(&router, "/", &[HOST]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        header(&response, "content-type"),
        "text/html; charset=utf-8"
    );
    assert_eq!(header(&response, "cache-control"), "no-cache");
    let page = text(response).await;
    assert!(
        page.contains(r#"<main id="app">"#) && page.contains("<noscript>"),
        "{page}"
    );
    // A title with markup stays text, in HTML and in the data.
    assert_eq!(page.matches("</script>").count(), 2, "{page}");
    let data = page
        .split_once(r#"<script type="application/json" id="config">"#)
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .map(|(data, _)| serde_json::from_str::<Value>(data).unwrap())
        .unwrap();
    assert_eq!(data["title"], "</script><b>");
    let api: Value =
        serde_json::from_slice(&body(get(&router, "/api/config", &[HOST]).await).await).unwrap();
    assert_eq!(data, api);
    let script = page
        .split_once(r#"<script type="module" src=""#)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(script, _)| script.to_owned())
        .unwrap();
    let response = get(&router, &script, &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        header(&response, "content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        header(&response, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(header(&response, "content-encoding"), "gzip");
}

#[tokio::test]
async fn the_configuration_has_what_the_client_needs() {
    let flags = [
        "--mqtt-ws-port",
        "1",
        "--mqtt-username",
        "u",
        "--mqtt-password",
        "p",
        "--kind",
        "truck",
    ];
    let router = web_ui(&shipped_manhattan(), &flags).await;
    let config: Value =
        serde_json::from_slice(&body(get(&router, "/api/config", &[]).await).await).unwrap();
    assert_eq!(config["kind"], "truck");
    assert_eq!(config["topicPrefix"], "fleet/");
    assert_eq!(
        config["mqtt"],
        serde_json::json!({"url": null, "port": 1, "path": "/mqtt", "username": "u", "password": "p"})
    );
    assert_eq!(config["grafanaUrl"], Value::Null);
    let map = &config["map"];
    assert_eq!(map["name"], "Manhattan");
    assert_eq!(map["attribution"], "Map: Convoy, CC0");
    let [west, south, east, north] = [0, 1, 2, 3].map(|i| map["bounds"][i].as_f64().unwrap());
    let [lng, lat] = [0, 1].map(|i| map["center"][i].as_f64().unwrap());
    assert!(
        west < lng && lng < east && south < lat && lat < north,
        "{map}"
    );
    let zoom = map["zoom"].as_f64().unwrap();
    assert!((10.0..12.0).contains(&zoom), "{map}");
    assert!(map["minZoom"].as_f64().unwrap() < zoom && zoom < map["maxZoom"].as_f64().unwrap());
}

#[tokio::test]
async fn every_answer_keeps_the_browser_to_this_server_and_the_broker() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    for path in ["/", "/api/config", "/tiles.json", TILE, "/nowhere", "/live"] {
        let response = get(&router, path, &[HOST]).await;
        let policy = header(&response, "content-security-policy");
        assert!(
            policy
                .starts_with("default-src 'self'; connect-src 'self' ws://maps.example.com:1893;"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'self'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(
            header(&response, "x-content-type-options"),
            "nosniff",
            "{path}"
        );
        assert_eq!(
            header(&response, "referrer-policy"),
            "no-referrer",
            "{path}"
        );
    }
    // Not a host: no way into the policy.
    let response = get(&router, "/", &[("host", "a; script-src *")]).await;
    assert!(header(&response, "content-security-policy").contains("connect-src 'self' ws:;"));
    let flags = [
        "--mqtt-ws-url",
        "wss://mqtt.example.com/mqtt",
        "--grafana-url",
        "http://g:3000/x",
    ];
    let router = web_ui(&shipped_manhattan(), &flags).await;
    let policy = get(&router, "/", &[HOST]).await;
    let policy = header(&policy, "content-security-policy");
    assert!(
        policy.contains("connect-src 'self' wss://mqtt.example.com;"),
        "{policy}"
    );
    assert!(
        policy.contains("frame-src 'self' http://g:3000;"),
        "{policy}"
    );
}

#[tokio::test]
async fn a_tile_has_its_headers_and_is_not_sent_twice() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    let response = get(&router, TILE, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        header(&response, "content-type"),
        "application/vnd.mapbox-vector-tile"
    );
    assert_eq!(header(&response, "content-encoding"), "gzip");
    assert_eq!(header(&response, "cache-control"), "public, no-cache");
    let etag = header(&response, "etag").to_owned();
    let packed = body(response).await;
    assert_eq!(packed[..2], [0x1f, 0x8b]);

    let response = get(
        &router,
        TILE,
        &[("if-none-match", &format!("\"x\", W/{etag}"))],
    )
    .await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header(&response, "etag"), etag);
    assert!(body(response).await.is_empty());
    let response = get(&router, TILE, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    // Whoever does not unpack gets it unpacked.
    assert!(!response.headers().contains_key("content-encoding"));
    assert!(body(response).await.len() > packed.len());

    let metrics = text(get(&router, "/metrics", &[]).await).await;
    for expected in [
        r#"web_ui_tile_requests_total{result="rendered"} 1"#,
        r#"web_ui_tile_requests_total{result="cached"} 1"#,
        r#"web_ui_tile_requests_total{result="not_modified"} 1"#,
        "web_ui_tile_render_seconds_count 1",
    ] {
        assert!(metrics.contains(expected), "no {expected} in {metrics}");
    }
}

#[tokio::test]
async fn tiles_that_cannot_be_are_refused_and_empty_ones_have_no_content() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    for path in [
        "/tiles/15/0/0.mvt",
        "/tiles/0/1/0.mvt",
        "/tiles/2/0/4.mvt",
        "/tiles/2/-1/0.mvt",
        "/tiles/2/0/0.png",
        "/tiles/2/0/0",
        "/tiles/a/b/c.mvt",
        "/tiles/300/0/0.mvt",
        "/tiles/14/4294967296/0.mvt",
        "/tiles/2/0/%2e%2e%2f0.mvt",
        "/tiles/",
        "/assets/../Cargo.toml",
        "/assets/%2e%2e/.vite/manifest.json",
        "/assets/nothing.js",
        "/nowhere",
    ] {
        assert_eq!(status(&router, path).await, StatusCode::NOT_FOUND, "{path}");
    }
    // The Gulf of Guinea is not on the map.
    assert_eq!(
        status(&router, "/tiles/14/8192/8192.mvt").await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(status(&router, "/tiles/8/75/96.mvt").await, StatusCode::OK);
    let post = Request::post("/api/config")
        .body(Body::from(vec![0; 4096]))
        .unwrap();
    let refused = router.clone().oneshot(post).await.unwrap().status();
    assert!(refused.is_client_error(), "{refused}");
}

#[tokio::test]
async fn tile_json_has_absolute_addresses_that_never_change_their_content() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    let response = get(&router, "/tiles.json", &[HOST]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let document: Value = serde_json::from_slice(&body(response).await).unwrap();
    let address = document["tiles"][0].as_str().unwrap();
    let path = address
        .strip_prefix("http://maps.example.com:8080")
        .unwrap();
    let path = path.replace("{z}/{x}/{y}", "14/4825/6156");
    let tile = get(&router, &path, &[]).await;
    assert_eq!(
        header(&tile, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(document["vector_layers"].as_array().unwrap().len(), 26);
    assert_eq!(document["maxzoom"], 14);

    let https = get(
        &router,
        "/tiles.json",
        &[HOST, ("x-forwarded-proto", "https")],
    )
    .await;
    assert!(
        text(https)
            .await
            .contains("https://maps.example.com:8080/tiles/")
    );
    for host in ["evil/path", "a b", ""] {
        let response = get(&router, "/tiles.json", &[("host", host)]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn it_is_live_and_ready() {
    let router = web_ui(&shipped_manhattan(), &[]).await;
    assert_eq!(status(&router, "/live").await, StatusCode::OK);
    assert_eq!(status(&router, "/ready").await, StatusCode::OK);
}
