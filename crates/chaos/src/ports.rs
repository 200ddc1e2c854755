//! Ports for servers that come and go.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use rand::Rng;

/// Below the ports that the system gives to outgoing connections (32768 on Linux, 49152 elsewhere): while a server is
/// away, no client may get its port.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const ATTEMPTS: usize = 100;

/// The first of some ports in a row that nobody uses now.
///
/// # Errors
/// When there are none, which is not to be expected.
pub(crate) fn free(count: u16) -> anyhow::Result<u16> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (0..ATTEMPTS)
        .map(|_| rand::rng().random_range(PORTS.start..PORTS.end - count))
        .find(|first| (*first..first + count).all(is_free))
        .with_context(|| format!("no {count} free ports in a row"))
}
