//! What a browser may do with our answers: everything from this server, nothing from anywhere else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::{Config, origin};
use crate::tiles::host;

/// The hosts besides our own that the page needs.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    /// The broker, when it has an address of its own.
    mqtt: Option<String>,
    /// The broker's port on our own host.
    mqtt_port: u16,
    grafana: Option<String>,
}

impl Allowed {
    pub(crate) fn new(config: &Config) -> Allowed {
        let of = |url: &Option<String>, schemes: &[&str]| {
            url.as_deref()
                .and_then(|url| origin(url, schemes))
                .map(str::to_owned)
        };
        Allowed {
            mqtt: of(&config.mqtt_ws_url, &["ws://", "wss://"]),
            mqtt_port: config.mqtt_ws_port,
            grafana: of(&config.grafana_url, &["http://", "https://"]),
        }
    }

    /// The Content-Security-Policy for a page that was asked for at this host.
    fn policy(&self, headers: &HeaderMap) -> String {
        let mqtt = self.mqtt.clone().unwrap_or_else(|| self.own_host(headers));
        let grafana = self.grafana.as_deref().unwrap_or_default();
        [
            "default-src 'self'",
            &format!("connect-src 'self' {mqtt}"),
            "img-src 'self' data: blob:",
            // The map and the MQTT client start workers from blobs.
            "worker-src 'self' blob:",
            &format!("frame-src 'self' {grafana}"),
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        ]
        .map(str::trim_end)
        .join("; ")
    }

    fn own_host(&self, headers: &HeaderMap) -> String {
        let name = host(headers).map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        match name {
            Some(name) if !name.starts_with('[') => format!("ws://{name}:{}", self.mqtt_port),
            // A policy can't name an IPv6 address.
            _ => "ws:".to_owned(),
        }
    }
}

/// Adds the headers to every answer: a worker obeys the policy of its own script, not that of the page.
pub(crate) async fn headers(
    State(allowed): State<Arc<Allowed>>,
    request: Request,
    next: Next,
) -> Response {
    let policy = HeaderValue::try_from(allowed.policy(request.headers()));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
