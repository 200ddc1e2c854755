//! How to reach a cluster.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Bootstrap servers, and whatever else the user sets for librdkafka.
#[derive(Clone, Debug)]
pub struct Settings {
    bootstrap_servers: String,
    extra: BTreeMap<String, String>,
}

impl Settings {
    /// A cluster at `bootstrap_servers`: `host:port`, comma-separated.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            extra: BTreeMap::new(),
        }
    }

    /// Adds settings by librdkafka's names, e.g. `security.protocol`. They beat ours.
    #[must_use]
    pub fn with(mut self, extra: impl IntoIterator<Item = (String, String)>) -> Self {
        self.extra.extend(extra);
        self
    }

    /// The bootstrap servers, for messages to people.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// A client's configuration: `ours` is what the kind of client needs, the user's own settings beat it.
    pub(crate) fn client(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("client.id", "convoy");
        // A cluster that restarts is back in seconds: look for it that often, not after librdkafka's 10 s.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in ours {
            config.set(*name, *value);
        }
        for (name, value) in &self.extra {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// librdkafka's own log lines, as ours. Its connection errors repeat every second while a cluster is away, and the
/// parts report that state themselves, so those are for debugging only.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        _ if matches!(facility, "FAIL" | "ERROR" | "REQTMOUT") => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
