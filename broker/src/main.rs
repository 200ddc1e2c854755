//! The broker as a process, and the commands beside it: `check-config` and `hash-password`.

use std::process::ExitCode;

use broker::{Broker, Config, TABLES};

fn main() -> ExitCode {
    let mut argv: Vec<_> = std::env::args_os().collect();
    let command = match argv.get(1).and_then(|word| word.to_str()) {
        Some("check-config") => broker::check_config,
        Some("hash-password") => broker::hash_password,
        _ => return serve(),
    };
    argv.remove(1);
    command(argv)
}

fn serve() -> ExitCode {
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
