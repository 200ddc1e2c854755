//! The broker as a process.

use std::process::ExitCode;

use broker::{Broker, Config, TABLES};

fn main() -> ExitCode {
    service::run(
        TABLES,
        async |settings: service::Settings<Config>, shutdown| {
            let broker = Broker::start(settings, shutdown).await?;
            println!(
                "broker ready: mqtt on {}, websocket on {}, monitoring on {} ({})",
                broker.mqtt_addr(),
                broker.ws_addr(),
                broker.admin_addr(),
                broker.summary()
            );
            broker.finished().await
        },
    )
}
