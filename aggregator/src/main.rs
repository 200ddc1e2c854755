//! The aggregator on its own.

use std::process::ExitCode;

use aggregator::{Aggregator, Config};

fn main() -> ExitCode {
    service::run(
        &["kafka"],
        async |settings: service::Settings<Config>, shutdown| {
            let config = Config {
                kafka: settings.plain_table("kafka")?,
                ..settings.args
            };
            let aggregator = Aggregator::start(config, shutdown).await?;
            tracing::info!(admin = %aggregator.admin_addr(), "{}", aggregator.summary());
            aggregator.finished().await
        },
    )
}
