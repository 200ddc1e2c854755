//! A broker in a process of its own: one that can be killed, and whose memory is only its own.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // each test file uses a part of it

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use std::time::{Duration, Instant};

use crate::support::{Kafka, access, last_of_each};

/// Killed (SIGKILL on Unix) when it is dropped.
pub struct Process {
    child: Child,
    pub mqtt: SocketAddr,
    pub ws: SocketAddr,
    pub admin: SocketAddr,
}

impl Process {
    /// `flags` beat those that a test broker has.
    pub fn start(kafka: &Kafka, files: &tempfile::TempDir, flags: &[&str]) -> Self {
        let flags = flags.iter().map(ToString::to_string);
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(last_of_each(
                kafka.flags().into_iter().chain(access(files)).chain(flags),
            ))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addr = |name: &str| {
            line.split_once(&format!("{name} on "))
                .and_then(|(_, rest)| rest.split([',', ' ']).next())
                .unwrap_or_else(|| panic!("`{line}` does not say where {name} is"))
                .parse()
                .unwrap()
        };
        Self {
            mqtt: addr("mqtt"),
            ws: addr("websocket"),
            admin: addr("monitoring"),
            child,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended by itself; its exit status, `None` when it is killed or still runs after `patience`.
    pub fn ended(&mut self, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child
            .try_wait()
            .unwrap()
            .and_then(|status| status.code())
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}
