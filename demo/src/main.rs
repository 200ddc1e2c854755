//! The demo as a process: one line per part as it comes up, then the address to open.

use std::io::Write;
use std::process::ExitCode;

use demo::{Config, Demo};

fn main() -> ExitCode {
    service::run(
        &[],
        async |settings: service::Settings<Config>, shutdown| {
            let say = |part: &str, line: &str| print(&format!("{part:>11}  {line}"));
            let starting = Demo::start(settings.args, say);
            // A start that is interrupted has nothing to say goodbye to.
            let demo = tokio::select! {
                demo = starting => demo?,
                () = shutdown.cancelled() => return Ok(()),
            };
            print(&format!("\n  Open {}  (Ctrl-C stops)\n", demo.page_url()));
            shutdown.cancelled().await;
            print("stopping");
            demo.stop().await
        },
    )
}

/// Prints a line. Whoever read our output may have gone, which is no reason to stop.
fn print(line: &str) {
    let _nobody_reads = writeln!(std::io::stdout(), "{line}");
}
