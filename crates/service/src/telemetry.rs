//! Logs: text on standard error, filtered by `RUST_LOG` (default: `info`, the Kafka client's own chatter at `warn`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,librdkafka=warn,rdkafka=warn";

/// Starts logging. A second call in one process does nothing.
pub fn init(default_filter: Option<&str>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(default_filter.unwrap_or(DEFAULT_FILTER)));
    // Fails only when a logger is already there (several parts in one process, or tests): that one serves.
    let _already_there = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}
