//! A `main` that drains on SIGTERM and SIGINT, and ends with one clear line when it can't go on.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, BadSetting, Settings};
use crate::{Shutdown, telemetry};

/// Reads the settings, starts logging and the runtime, and runs `part` until it ends.
///
/// `tables` names the TOML tables (such as `kafka` or `topic`) that the part reads itself. The [`Shutdown`] is
/// cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
///
/// Exit status: 0 when `part` returned `Ok`, 2 for a [`BadSetting`], 1 for anything else.
pub fn run<A, F>(tables: &[&str], part: impl FnOnce(Settings<A>, Shutdown) -> F) -> ExitCode
where
    A: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    let name = A::command().get_name().to_owned();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let settings = match config::load::<A>(argv, tables) {
        Ok(settings) => settings,
        Err(config::Stop::Print(text)) => {
            println!("{}", text.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(config::Stop::Bad(error)) => return report(&name, &error.into()),
    };
    telemetry::init(None);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&name, &anyhow::anyhow!("can't start the runtime: {error}")),
    };
    let result = runtime.block_on(async {
        let shutdown = Shutdown::new();
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        part(settings, shutdown).await
    });
    // Blocking work that has not ended by now (a tile, a route) has nobody left to serve.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&name, &error),
    }
}

async fn cancel_on_signal(shutdown: Shutdown) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("can't listen for signals: only kill -9 will end this process");
        return;
    };
    let mut wait =
        async || tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () };
    wait().await;
    shutdown.cancel();
    wait().await;
    // The user asked twice: don't drain any longer. 130 is what a shell reports for SIGINT.
    std::process::exit(130);
}

fn report(name: &str, error: &anyhow::Error) -> ExitCode {
    // `{:#}` prints the causes on the same line.
    eprintln!("{name}: {}", format!("{error:#}").replace('\n', " "));
    if error.chain().any(|cause| cause.is::<BadSetting>()) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}
