//! A broker process, started again whenever it has ended.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::fault::Target;
use crate::signal::{self, Signal};

/// How long a start may take, attempts that fail among them.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two attempts, as supervisors do it.
const START_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long it may take to hand over and end when it is told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct BrokerNode {
    number: usize,
    program: PathBuf,
    flags: Vec<String>,
    dir: PathBuf,
    child: Option<Child>,
}

impl BrokerNode {
    /// One that does not run yet. Its log is `broker-N.log` in `dir`.
    pub(crate) fn new(
        number: usize,
        program: &Path,
        bootstrap_servers: &str,
        addr: SocketAddr,
        more: &[String],
        dir: &Path,
    ) -> Self {
        let flags = [
            ("kafka-bootstrap-servers", bootstrap_servers),
            ("node-name", &Target::Broker(number).to_string()),
            ("listen-address", &Ipv4Addr::LOCALHOST.to_string()),
            ("mqtt-port", &addr.port().to_string()),
            ("mqtt-ws-port", "0"),
            ("monitoring-port", "0"),
            ("authentication-required", "false"),
            ("authorization-publish-default-outcome", "ALLOW"),
            ("authorization-subscribe-default-outcome", "ALLOW"),
        ]
        .map(|(name, value)| format!("--{name}={value}"));
        Self {
            number,
            program: program.to_owned(),
            flags: [&flags, more].concat(),
            dir: dir.to_owned(),
            child: None,
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::Broker(self.number)
    }

    /// Starts it and waits until it serves; again, if it ends before that. Returns how the attempts that failed ended.
    pub(crate) async fn start(&mut self) -> anyhow::Result<Vec<ExitStatus>> {
        let mut failed = Vec::new();
        let start = async {
            while let Some(status) = self.try_start().await? {
                failed.push(status);
                sleep(START_AGAIN_AFTER).await;
            }
            anyhow::Ok(())
        };
        let started = timeout(START_TIMEOUT, start).await;
        started.with_context(|| format!("{} does not start: {failed:?}", self.target()))??;
        Ok(failed)
    }

    /// Returns how it ended, if it did not come as far as to serve.
    async fn try_start(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let path = self.dir.join(format!("{}.log", self.target()));
        let log = File::options().create(true).append(true).open(&path)?;
        let mut child = Command::new(&self.program)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", self.program.display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        // Its first line says that it serves, and is all that it prints.
        let line = BufReader::new(stdout).lines().next_line().await?;
        if line.is_none() {
            return Ok(Some(child.wait().await?));
        }
        self.child = Some(child);
        Ok(None)
    }

    /// Waits until it ends by itself. May be cancelled.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => Ok(child.wait().await?),
            None => std::future::pending().await,
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM; returns how it ended, or `None` when it had to be killed.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.signal(Signal::Term).await?;
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        match timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => {
                child.kill().await?;
                Ok(None)
            }
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Nobody has waited for it yet, so the number is still its own.
        match self.child.as_ref().and_then(Child::id) {
            Some(pid) => signal::send(signal, pid).await,
            None => Ok(()),
        }
    }
}
