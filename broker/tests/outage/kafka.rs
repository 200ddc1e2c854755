//! A Kafka of the test's own that can be killed and started again: the embedded one as a process, or, where `TEST_KAFKA`
//! asks for it, Apache Kafka as `cargo xtask kafka` runs it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tokio::net::TcpStream;

use crate::support::{Kafka, PATIENCE};

/// Where the embedded Kafka keeps its data, for the process that is one.
const DIR: &str = "OUTAGE_KAFKA_DIR";
/// Where it listens.
const LISTEN: &str = "OUTAGE_KAFKA_LISTEN";

pub(crate) struct Node {
    dir: tempfile::TempDir,
    addr: SocketAddr,
    runs: Runs,
}

enum Runs {
    Embedded(Option<Child>),
    /// The program that starts it: `xtask`.
    Apache(PathBuf),
}

impl Node {
    /// A Kafka that runs; `None` where the one that is asked for can't be had.
    pub(crate) async fn start() -> Option<Self> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let runs = match (named("TEST_KAFKA"), named("TEST_KAFKA_CONTROL")) {
            (None, _) => Runs::Embedded(None),
            (Some(_), Some(xtask)) => Runs::Apache(xtask.into()),
            (Some(_), None) => {
                eprintln!(
                    "SKIPPED: an outage needs an Apache Kafka of its own; set TEST_KAFKA_CONTROL to the xtask program"
                );
                return None;
            }
        };
        let mut node = Self {
            dir: tempfile::tempdir().unwrap(),
            addr: free_addr(),
            runs,
        };
        node.start_again().await;
        Some(node)
    }

    /// As the broker's flags want it.
    pub(crate) fn kafka(&self) -> Kafka {
        Kafka::at(self.addr.to_string())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        match &mut self.runs {
            Runs::Embedded(child) => {
                if let Some(mut child) = child.take() {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            Runs::Apache(_) => {
                let pid = std::fs::read_to_string(self.dir.path().join("node-1/pid"));
                if let Ok(pid) = pid {
                    let sent = Command::new("kill").args(["-9", &pid]).status().unwrap();
                    assert!(sent.success(), "kafka had ended by itself");
                }
            }
        }
    }

    /// On the same port and with the same data.
    pub(crate) async fn start_again(&mut self) {
        match &mut self.runs {
            Runs::Embedded(child) => *child = Some(embedded(&self.dir, self.addr)),
            Runs::Apache(xtask) => {
                let mut start = Command::new(xtask);
                start
                    .args(["kafka", "--port", &self.addr.port().to_string(), "--dir"])
                    .arg(self.dir.path())
                    .stdout(Stdio::null());
                let status = tokio::task::spawn_blocking(move || start.status()).await;
                assert!(status.unwrap().unwrap().success());
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.addr).await.is_err() {
            assert!(Instant::now() < deadline, "kafka does not come");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address whose next port is free too: Apache Kafka needs two.
fn free_addr() -> SocketAddr {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = first.local_addr().unwrap();
        let next = addr.port().checked_add(1);
        if next.is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return addr;
        }
    }
}

/// This test program once more, as a Kafka.
fn embedded(dir: &tempfile::TempDir, addr: SocketAddr) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kafka::embedded_kafka_as_a_process",
            "--ignored",
            "--nocapture",
        ])
        .env(DIR, dir.path())
        .env(LISTEN, addr.to_string())
        // It ends when this pipe does, so that it does not outlive a test that was killed.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is the kafka of the other tests, as a process that can be killed"]
async fn embedded_kafka_as_a_process() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut config = embedded_kafka::Config::new(dir);
    config.listen = std::env::var(LISTEN).unwrap().parse().unwrap();
    let _server = embedded_kafka::Server::start(config).await.unwrap();
    let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
}
