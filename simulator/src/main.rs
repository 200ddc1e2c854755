//! The simulator on its own.

use std::process::ExitCode;

use simulator::{Config, Simulator};

fn main() -> ExitCode {
    service::run(
        &[],
        async |settings: service::Settings<Config>, shutdown| {
            let simulator = Simulator::start(settings.args, shutdown.clone()).await?;
            tracing::info!(admin = %simulator.admin_addr(), "{}", simulator.summary());
            shutdown.cancelled().await;
            simulator.finished().await
        },
    )
}
