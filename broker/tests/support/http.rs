//! The admin port as a test sees it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // each test file uses a part of it

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;

/// Status and body of a page; `None` when nobody answers.
pub async fn get(addr: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// A metric: the sum over the lines that start so, 0 without any. `name` may go on with a part of the labels.
pub async fn metric(addr: SocketAddr, name: &str) -> f64 {
    let (status, body) = get(addr, "/metrics").await.unwrap();
    assert_eq!(status, 200, "{body}");
    let values = body.lines().filter(|line| line.starts_with(name));
    values
        .filter_map(|line| line.rsplit(' ').next())
        .map(|value| value.parse::<f64>().unwrap())
        .sum()
}

/// Waits until a metric is as wanted; the time is for slow machines.
pub async fn until(addr: SocketAddr, name: &str, wanted: impl Fn(f64) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(addr, name).await;
        if wanted(value) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The memory of a process that is in RAM, in bytes; `None` where there is no `/proc`.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
