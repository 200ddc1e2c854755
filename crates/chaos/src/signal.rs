//! Signals to processes.

use std::fmt;

use anyhow::{Context, bail};
use tokio::process::Command;

/// A signal of POSIX.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Kill,
    Stop,
    Cont,
    Term,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Term => "TERM",
        })
    }
}

/// Sends one.
///
/// # Errors
/// When there is no such process.
pub(crate) async fn send(signal: Signal, pid: u32) -> anyhow::Result<()> {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).arg(pid.to_string());
    let status = kill.status().await.context("can't start kill")?;
    if !status.success() {
        bail!("can't send {signal} to process {pid}");
    }
    Ok(())
}
