//! The nodes of a Kafka cluster (KRaft, each both broker and controller) as child processes on loopback.
//!
//! Each node has a folder: `server.properties`, `server.log`, `pid` and its `data`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{jars, probe};
use crate::shell;

/// How long a start may take; seen: 2 s for one node on two cores.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a node may take to hand over and close its log before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Any 16 bytes in base64: nodes of one cluster have the same.
const CLUSTER_ID: &str = "Y29udm95LWxvY2FsLWtmaw";

pub(crate) struct Options {
    /// 1 or 3.
    pub(crate) nodes: u16,
    /// Data and logs; made when it isn't there.
    pub(crate) dir: PathBuf,
    /// 0 picks free ports.
    pub(crate) port: u16,
}

/// A running cluster. Dropping it stops the nodes.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

struct Node {
    dir: PathBuf,
    broker: SocketAddr,
    process: Child,
}

impl Cluster {
    /// Starts the nodes and waits until each answers and sees all of them.
    pub(crate) fn start(options: &Options) -> anyhow::Result<Self> {
        let class_path = jars::class_path()?;
        check_dir(options)?;
        let ports = ports(options)?;
        let (brokers, controllers) = ports.split_at(usize::from(options.nodes));
        let mut cluster = Self { nodes: Vec::new() };
        for (id, (broker, controller)) in (1..).zip(brokers.iter().zip(controllers)) {
            let dir = node_dir(&options.dir, id);
            fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
            let properties = properties(id, &dir, *broker, *controller, controllers);
            fs::write(dir.join("server.properties"), properties)?;
            format_storage(&dir)?;
            cluster.nodes.push(Node::start(dir, *broker, &class_path)?);
        }
        cluster.wait()?;
        Ok(cluster)
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        let addrs: Vec<String> = self.nodes.iter().map(|n| n.broker.to_string()).collect();
        addrs.join(",")
    }

    /// Forgets the nodes: they go on after this process has ended, until [`stop`].
    pub(crate) fn leave_running(mut self) {
        self.nodes.clear();
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let all = self.nodes.len();
        let deadline = Instant::now() + START_TIMEOUT;
        self.nodes
            .iter_mut()
            .try_for_each(|node| node.wait(all, deadline))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            signal("TERM", node.process.id());
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        for node in &mut self.nodes {
            while matches!(node.process.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    signal("KILL", node.process.id());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            // Only the note that a process runs; data and logs stay.
            if let Err(error) = fs::remove_file(node.dir.join("pid")) {
                eprintln!("can't remove {}/pid: {error}", node.dir.display());
            }
        }
    }
}

/// Stops the nodes that an earlier process left running in `dir`, or only one; returns how many there were.
pub(crate) fn stop(dir: &Path, only: Option<u16>) -> anyhow::Result<usize> {
    let mut running = running(dir)?;
    if let Some(id) = only {
        running.retain(|(known, _)| *known == node_dir(dir, id));
    }
    for (_, pid) in &running {
        signal("TERM", *pid);
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    for (node_dir, pid) in &running {
        while is_ours(*pid, node_dir) {
            if Instant::now() > deadline {
                signal("KILL", *pid);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(node_dir.join("pid"))?;
    }
    Ok(running.len())
}

/// Starts a node that has ended, with the addresses and data that it had, and leaves it running.
pub(crate) fn start_again(dir: &Path, id: u16) -> anyhow::Result<()> {
    let class_path = jars::class_path()?;
    let node_dir = node_dir(dir, id);
    if running(dir)?.iter().any(|(known, _)| *known == node_dir) {
        bail!("node {id} of {} runs already", dir.display());
    }
    let file = node_dir.join("server.properties");
    let properties = fs::read_to_string(&file)
        .with_context(|| format!("can't read {}: start the cluster first", file.display()))?;
    let broker = broker_of(&properties)
        .with_context(|| format!("{} does not say where the node listens", file.display()))?;
    let mut node = Node::start(node_dir, broker, &class_path)?;
    node.wait(node_dirs(dir)?.len(), Instant::now() + START_TIMEOUT)
}

/// The inverse of what [`properties`] writes.
fn broker_of(properties: &str) -> Option<SocketAddr> {
    let mut lines = properties.lines();
    let listener = lines.find_map(|line| line.strip_prefix("advertised.listeners=PLAINTEXT://"));
    listener?.parse().ok()
}

impl Node {
    /// Waits until it answers, and sees `all` nodes.
    fn wait(&mut self, all: usize, deadline: Instant) -> anyhow::Result<()> {
        let log = self.dir.join("server.log");
        while probe::nodes_up(self.broker).ok() != u32::try_from(all).ok() {
            if let Some(status) = self.process.try_wait()? {
                bail!("kafka ended with {status}; see {}", log.display());
            }
            if Instant::now() > deadline {
                bail!(
                    "kafka did not answer in {START_TIMEOUT:?}; see {}",
                    log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn start(dir: PathBuf, broker: SocketAddr, class_path: &str) -> anyhow::Result<Self> {
        // What it wrote before it ended may say why.
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("server.log"))?;
        let log4j = shell::root().join("xtask/kafka/log4j2.properties");
        let process = Command::new("java")
            .args(["-Xmx512m", "-cp", class_path])
            .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
            .arg("kafka.Kafka")
            .arg(dir.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in the terminal is for us: we stop the nodes ourselves, and in the background they go on.
            .process_group(0)
            .spawn()
            .context("can't start java")?;
        fs::write(dir.join("pid"), process.id().to_string())?;
        Ok(Self {
            dir,
            broker,
            process,
        })
    }
}

/// Refuses a folder whose cluster runs or has another number of nodes: its quorum would never come together.
fn check_dir(options: &Options) -> anyhow::Result<()> {
    let dir = &options.dir;
    if !running(dir)?.is_empty() {
        bail!(
            "kafka already runs in {}: stop it with `cargo xtask kafka --stop`, or name another --dir",
            dir.display()
        );
    }
    let nodes = node_dirs(dir)?.len();
    if nodes != 0 && nodes != usize::from(options.nodes) {
        bail!(
            "{} holds a cluster of {nodes}: give --nodes {nodes}, another --dir, or remove it",
            dir.display()
        );
    }
    Ok(())
}

/// The brokers' addresses, then the controllers'.
fn ports(options: &Options) -> anyhow::Result<Vec<SocketAddr>> {
    let wanted = 2 * options.nodes;
    // All are held until all are known, so that none is picked twice.
    let listeners = (0..wanted)
        .map(|i| {
            let port = match options.port {
                0 => 0,
                first => first
                    .checked_add(i)
                    .with_context(|| format!("--port {first} leaves no room for {wanted} ports"))?,
            };
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .with_context(|| format!("port {port} can't be used: give another --port, or 0"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?))
        .collect()
}

fn properties(
    id: u16,
    dir: &Path,
    broker: SocketAddr,
    controller: SocketAddr,
    controllers: &[SocketAddr],
) -> String {
    let voters: Vec<String> = (1..)
        .zip(controllers)
        .map(|(id, addr): (u16, _)| format!("{id}@{addr}"))
        .collect();
    let voters = voters.join(",");
    let replicas = controllers.len();
    let in_sync = replicas.div_ceil(2);
    let data = dir.join("data");
    let data = data.display();
    format!(
        "process.roles=broker,controller
node.id={id}
listeners=PLAINTEXT://{broker},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters={voters}
log.dirs={data}
# A topic that nobody created on purpose has the wrong partitions and retention.
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
# Tests start many groups with one member: nothing to wait for.
group.initial.rebalance.delay.ms=0
# Tests see retention and compaction at work.
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=1000
"
    )
}

fn format_storage(dir: &Path) -> anyhow::Result<()> {
    let output = jars::java("kafka.tools.StorageTool", &["-Xmx128m"])?
        .args(["format", "--ignore-formatted", "--cluster-id", CLUSTER_ID])
        .arg("--config")
        .arg(dir.join("server.properties"))
        .output()
        .context("can't start java")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!(
            "kafka can't format {}: {}",
            dir.display(),
            text.trim().replace('\n', " ")
        );
    }
    Ok(())
}

fn node_dir(dir: &Path, id: u16) -> PathBuf {
    dir.join(format!("node-{id}"))
}

fn node_dirs(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok([1, 2, 3]
        .map(|id| node_dir(dir, id))
        .into_iter()
        .filter(|dir| dir.is_dir())
        .collect())
}

/// Nodes of `dir` that run, with their process ids.
fn running(dir: &Path) -> anyhow::Result<Vec<(PathBuf, u32)>> {
    let mut running = Vec::new();
    for node_dir in node_dirs(dir)? {
        let file = node_dir.join("pid");
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let pid = text
            .parse()
            .with_context(|| format!("{} holds no process id", file.display()))?;
        if is_ours(pid, &node_dir) {
            running.push((node_dir, pid));
        }
    }
    Ok(running)
}

/// Whether `pid` is the Kafka of this folder: an old number may be another program's by now.
fn is_ours(pid: u32, node_dir: &Path) -> bool {
    let config = node_dir.join("server.properties").display().to_string();
    Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&config))
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    if !sent.is_ok_and(|status| status.success()) {
        eprintln!("can't send {name} to process {pid}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_node_is_read_from_its_properties() {
        let [broker, controller] = [9092, 9093].map(|port| ([127, 0, 0, 1], port).into());
        let written = properties(1, Path::new("x"), broker, controller, &[controller]);
        assert_eq!(broker_of(&written), Some(broker));
        assert_eq!(broker_of("node.id=1"), None);
    }
}
