//! A connection without a deadline: in an outage, silence is right.

use std::net::SocketAddr;

pub(crate) use chaos::wire::{Lost, Wire};
use mqtt::packet::{ConnAck, Connect};

/// Connects, and goes on trying while nobody is there or the client is not let in.
pub(crate) async fn connect(addr: SocketAddr, connect: &Connect) -> (Wire, ConnAck) {
    loop {
        match Wire::connect(addr, connect).await {
            Ok((wire, answer)) if !answer.reason.is_error() => return (wire, answer),
            Ok(_) | Err(Lost::Closed) => {}
            Err(Lost::Wrong(what)) => panic!("{what}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
