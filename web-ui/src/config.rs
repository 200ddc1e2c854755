//! The settings of the web UI, and what of them the page is told.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Serialize;
use service::BadSetting;

use crate::tiles::{MAX_ZOOM, Tiles, is_host};

/// The settings as written; flags and variables are the reference, see `web-ui --help`.
#[derive(clap::Parser, Clone, Debug)]
#[command(
    name = "web-ui",
    version,
    about = "The live map: pages, tiles and the browser client"
)]
pub struct Config {
    /// Address to listen on; 0.0.0.0 for every interface
    #[arg(long, env = "WEB_UI_LISTEN_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen_address: IpAddr,
    /// Port of the page, the tiles and the metrics; 0 picks a free one
    #[arg(long, env = "WEB_UI_PORT", default_value_t = 8080)]
    pub port: u16,
    /// OpenStreetMap extract to draw, the same that the simulator drives on
    #[arg(long, env = "MAP", value_name = "FILE.osm.pbf")]
    pub map: Option<PathBuf>,
    /// MQTT over WebSocket as browsers reach it, such as wss://mqtt.example.com/mqtt; unless given, the page's own host
    #[arg(long, env = "MQTT_WS_URL", value_name = "URL")]
    pub mqtt_ws_url: Option<String>,
    /// Port of MQTT over WebSocket on the page's own host
    #[arg(long, env = "MQTT_WS_PORT", default_value_t = 1893)]
    pub mqtt_ws_port: u16,
    /// User that browsers connect as; every visitor can read it, so it must be allowed to subscribe only
    #[arg(long, env = "BROWSER_MQTT_USERNAME")]
    pub mqtt_username: Option<String>,
    /// Password of that user; every visitor can read it
    #[arg(long, env = "BROWSER_MQTT_PASSWORD")]
    pub mqtt_password: Option<String>,
    /// What the fleet's MQTT topics begin with
    #[arg(long, env = "TOPIC_PREFIX", default_value = "fleet/")]
    pub topic_prefix: String,
    /// Grafana, to show its panels in the page
    #[arg(long, env = "GRAFANA_URL", value_name = "URL")]
    pub grafana_url: Option<String>,
    /// Kind of vehicle, for the page's words and symbols
    #[arg(long, env = "KIND", default_value = "taxi", value_parser = ["taxi", "truck"])]
    pub kind: String,
    /// Title of the page
    #[arg(long, env = "WEB_UI_TITLE", default_value = "Convoy")]
    pub title: String,
}

impl Config {
    /// Checks what the command line can't, and returns the map, which the settings file may have named.
    ///
    /// # Errors
    /// Names the setting, its value and what would be right.
    pub(crate) fn check(&self) -> Result<PathBuf, BadSetting> {
        if let Some(url) = &self.mqtt_ws_url
            && origin(url, &["ws://", "wss://"]).is_none()
        {
            let right = "a WebSocket address such as wss://mqtt.example.com/mqtt";
            return Err(BadSetting(format!("--mqtt-ws-url `{url}` is not {right}")));
        }
        if let Some(url) = &self.grafana_url
            && origin(url, &["http://", "https://"]).is_none()
        {
            let right = "a web address such as http://localhost:3000";
            return Err(BadSetting(format!("--grafana-url `{url}` is not {right}")));
        }
        let prefix = &self.topic_prefix;
        if !prefix.ends_with('/') || prefix.contains(['#', '+', '\0']) {
            return Err(BadSetting(format!(
                "--topic-prefix `{prefix}` must end in / and hold no wildcard, such as fleet/"
            )));
        }
        let no_map = || BadSetting("no map to draw: set --map FILE.osm.pbf".to_owned());
        self.map.clone().ok_or_else(no_map)
    }
}

/// Scheme and host of an address, to allow it in a Content-Security-Policy.
pub(crate) fn origin<'a>(url: &'a str, schemes: &[&str]) -> Option<&'a str> {
    let scheme = schemes.iter().find(|scheme| url.starts_with(**scheme))?;
    let rest = &url[scheme.len()..];
    let host = rest.split(['/', '?', '#']).next()?;
    let is_plain = url.chars().all(|c| c.is_ascii_graphic());
    (is_plain && is_host(host)).then(|| &url[..scheme.len() + host.len()])
}

/// What the page is told, in the page itself and at `/api/config`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageConfig {
    title: String,
    kind: String,
    topic_prefix: String,
    mqtt: Mqtt,
    map: Map,
    grafana_url: Option<String>,
    version: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Mqtt {
    url: Option<String>,
    port: u16,
    path: &'static str,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Map {
    name: String,
    /// West, south, east, north in degrees.
    bounds: [f64; 4],
    /// Longitude, latitude in degrees.
    center: [f64; 2],
    zoom: f64,
    min_zoom: f64,
    max_zoom: f64,
    attribution: &'static str,
}

/// How far beyond the most detailed tiles a view may go: 64 times larger still looks sharp, as vectors do.
const OVERZOOM: u8 = 6;

impl PageConfig {
    pub(crate) fn new(config: &Config, tiles: &Tiles) -> PageConfig {
        let bounds = tiles.bounds();
        let zoom = tiles.zoom_to_fit();
        PageConfig {
            title: config.title.clone(),
            kind: config.kind.clone(),
            topic_prefix: config.topic_prefix.clone(),
            mqtt: Mqtt {
                url: config.mqtt_ws_url.clone(),
                port: config.mqtt_ws_port,
                path: "/mqtt",
                username: config.mqtt_username.clone(),
                password: config.mqtt_password.clone(),
            },
            map: Map {
                name: tiles.name().to_owned(),
                bounds: [bounds.west, bounds.south, bounds.east, bounds.north],
                center: tiles.center(),
                zoom,
                min_zoom: (zoom - 2.0).max(0.0).floor(),
                max_zoom: f64::from(MAX_ZOOM + OVERZOOM),
                attribution: tiles.attribution(),
            },
            grafana_url: config.grafana_url.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(flags: &[&str]) -> Config {
        let always = ["web-ui", "--map", "x.osm.pbf"];
        Config::try_parse_from(always.iter().chain(flags)).unwrap()
    }

    #[test]
    fn addresses_and_prefixes_are_checked() {
        for flags in [
            &[][..],
            &["--mqtt-ws-url", "wss://mqtt.example.com/mqtt"],
            &["--mqtt-ws-url", "ws://10.0.0.1:1893"],
            &["--grafana-url", "https://example.com/grafana/"],
            &["--topic-prefix", "a/b/"],
        ] {
            assert!(config(flags).check().is_ok(), "{flags:?}");
        }
        for (flags, expected) in [
            (
                ["--mqtt-ws-url", "http://example.com"],
                "--mqtt-ws-url `http://example.com` is not a WebSocket address such as wss://mqtt.example.com/mqtt",
            ),
            (
                ["--mqtt-ws-url", "ws://a; script-src *"],
                "--mqtt-ws-url `ws://a; script-src *` is not a WebSocket address such as wss://mqtt.example.com/mqtt",
            ),
            (
                ["--grafana-url", "grafana"],
                "--grafana-url `grafana` is not a web address such as http://localhost:3000",
            ),
            (
                ["--topic-prefix", "fleet/#"],
                "--topic-prefix `fleet/#` must end in / and hold no wildcard, such as fleet/",
            ),
        ] {
            assert_eq!(config(&flags).check().unwrap_err().0, expected);
        }
    }
}
