//! Three nodes of Apache Kafka, as `cargo xtask kafka` runs them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::in_sync;
use crate::ports;
use crate::signal::{self, Signal};

/// How many: the fewest that go on without one.
pub(crate) const NODES: usize = 3;
/// How long a node may take until it has all that it missed.
const IN_SYNC_TIMEOUT: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Killed when dropped: its data are of no use then.
pub(crate) struct KafkaNodes {
    control: PathBuf,
    dir: PathBuf,
    pub(crate) bootstrap_servers: String,
    addrs: Vec<SocketAddr>,
}

impl KafkaNodes {
    /// Starts them; `control` is the xtask program. Data and logs go to `dir`.
    pub(crate) async fn start(control: &Path, dir: &Path) -> anyhow::Result<Self> {
        // Each has one port for brokers and one for controllers.
        let first = ports::free(2 * NODES as u16)?;
        let mut nodes = Self {
            control: control.to_owned(),
            dir: dir.to_owned(),
            bootstrap_servers: String::new(),
            addrs: Vec::new(),
        };
        let (count, first) = (NODES.to_string(), first.to_string());
        let servers = nodes
            .control(&["--nodes", &count, "--port", &first])
            .await?;
        let addrs = servers.trim().split(',').map(str::parse);
        nodes.addrs = addrs.collect::<Result<_, _>>()?;
        servers.trim().clone_into(&mut nodes.bootstrap_servers);
        Ok(nodes)
    }

    /// Starts a node that has ended, on the same port and with the same data.
    pub(crate) async fn start_again(&self, node: usize) -> anyhow::Result<()> {
        self.control(&["--node", &(node + 1).to_string()]).await?;
        Ok(())
    }

    /// SIGTERM, and waits until the process is gone.
    pub(crate) async fn stop(&self, node: usize) -> anyhow::Result<()> {
        self.control(&["--stop", "--node", &(node + 1).to_string()])
            .await?;
        Ok(())
    }

    pub(crate) async fn signal(&self, signal: Signal, node: usize) -> anyhow::Result<()> {
        let pid = self
            .pid(node)
            .context("a node that runs has a file `pid`")?;
        signal::send(signal, pid).await
    }

    fn pid(&self, node: usize) -> Option<u32> {
        let path = self.dir.join(format!("node-{}/pid", node + 1));
        std::fs::read_to_string(path).ok()?.parse().ok()
    }

    /// Waits until every node says that each partition has all of its replicas.
    pub(crate) async fn until_in_sync(&self) -> anyhow::Result<()> {
        let all = async {
            for addr in &self.addrs {
                while !in_sync::ask(*addr, NODES).await.unwrap_or(false) {
                    sleep(ASK_EVERY).await;
                }
            }
        };
        timeout(IN_SYNC_TIMEOUT, all)
            .await
            .with_context(|| format!("kafka is not in sync after {IN_SYNC_TIMEOUT:?}"))
    }

    async fn control(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.control)
            .arg("kafka")
            .args(args)
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("can't start {}", self.control.display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("xtask kafka {}: {}", args.join(" "), text.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for KafkaNodes {
    fn drop(&mut self) {
        for pid in (0..NODES).filter_map(|node| self.pid(node)) {
            let mut kill = std::process::Command::new("kill");
            kill.args(["-KILL", &pid.to_string()]).stderr(Stdio::null());
            // One that a fault has killed is gone already.
            let _gone = kill.status();
        }
    }
}
