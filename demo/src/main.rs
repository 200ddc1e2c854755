//! The demo as a process: one line per part as it comes up, then the address to open.

use std::process::ExitCode;

use demo::{Config, Demo};

fn main() -> ExitCode {
    service::run(
        &[],
        async |settings: service::Settings<Config>, shutdown| {
            let say = |part: &str, line: &str| println!("{part:>11}  {line}");
            let starting = Demo::start(settings.args, say);
            // A start that is interrupted has nothing to say goodbye to.
            let demo = tokio::select! {
                demo = starting => demo?,
                () = shutdown.cancelled() => return Ok(()),
            };
            println!("\n  Open {}  (Ctrl-C stops)\n", demo.page_url());
            shutdown.cancelled().await;
            println!("stopping");
            demo.stop().await
        },
    )
}
