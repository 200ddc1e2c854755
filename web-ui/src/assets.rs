//! The browser client's files, built by npm and embedded in the program.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use rust_embed::RustEmbed;
use serde::Deserialize;

/// Where the client's program starts.
const ENTRY: &str = "src/main.ts";

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/client"]
struct Files;

/// What the page links to: addresses below `/assets/`.
#[derive(Debug, PartialEq)]
pub(crate) struct Links {
    pub(crate) script: String,
    /// Scripts that the first one imports, to be fetched along with it.
    pub(crate) imports: BTreeSet<String>,
    pub(crate) styles: BTreeSet<String>,
}

/// One entry of Vite's manifest: <https://vite.dev/guide/backend-integration>.
#[derive(Deserialize)]
struct Chunk {
    file: String,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
}

impl Links {
    /// The links of the embedded client.
    ///
    /// # Errors
    /// When the client was built without a manifest or without its entry.
    pub(crate) fn embedded() -> anyhow::Result<Links> {
        let manifest =
            Files::get(".vite/manifest.json").context("the client's build has no manifest")?;
        Links::parse(&manifest.data)
    }

    fn parse(manifest: &[u8]) -> anyhow::Result<Links> {
        let chunks: BTreeMap<String, Chunk> =
            serde_json::from_slice(manifest).context("the client's manifest")?;
        let missing = |name: &str| anyhow!("the client's manifest has no {name}");
        let entry = chunks.get(ENTRY).ok_or_else(|| missing(ENTRY))?;
        let mut links = Links {
            script: format!("/{}", entry.file),
            imports: BTreeSet::new(),
            styles: BTreeSet::new(),
        };
        let mut open = vec![entry];
        while let Some(chunk) = open.pop() {
            links
                .styles
                .extend(chunk.css.iter().map(|file| format!("/{file}")));
            for name in &chunk.imports {
                let import = chunks.get(name).ok_or_else(|| missing(name))?;
                if links.imports.insert(format!("/{}", import.file)) {
                    open.push(import);
                }
            }
        }
        Ok(links)
    }
}

/// `/assets/*`. A file's name holds its hash, so a browser need never ask again.
pub(crate) fn router() -> Router {
    Router::new().route("/assets/{*path}", get(asset))
}

async fn asset(Path(path): Path<String>) -> Response {
    let Some(file) = Files::get(&format!("assets/{path}")) else {
        return (StatusCode::NOT_FOUND, "no such asset\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(file.metadata.mimetype())),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
    ];
    let body = match file.data {
        std::borrow::Cow::Borrowed(embedded) => Bytes::from_static(embedded),
        std::borrow::Cow::Owned(read) => Bytes::from(read),
    };
    (headers, body).into_response()
}

fn content_type(kind: &str) -> String {
    match kind {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_gives_the_entry_and_all_it_imports() {
        let manifest = br#"{
            "src/main.ts": {"file": "assets/main-1.js", "isEntry": true, "imports": ["_map.js"], "css": ["assets/main-1.css"]},
            "_map.js": {"file": "assets/map-2.js", "css": ["assets/map-2.css"], "imports": ["_map.js"]},
            "_later.js": {"file": "assets/later-3.js"}
        }"#;
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            Links::parse(manifest).unwrap(),
            Links {
                script: "/assets/main-1.js".to_owned(),
                imports: set(&["/assets/map-2.js"]),
                styles: set(&["/assets/main-1.css", "/assets/map-2.css"]),
            }
        );
        assert!(Links::parse(b"{}").is_err());
    }

    #[test]
    fn the_embedded_client_has_all_that_the_page_links_to() {
        let links = Links::embedded().unwrap();
        for link in links
            .imports
            .iter()
            .chain(&links.styles)
            .chain([&links.script])
        {
            assert!(Files::get(&link[1..]).is_some(), "{link}");
        }
    }
}
