//! One client: frames in, answers out, in order.
//!
//! As in Kafka a connection works on one request at a time, so its memory is one request and one answer; what a client
//! sends ahead waits in the socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::api::{self, Client, Violation};
use crate::node::Node;

/// Read at once; the buffer grows beyond it only as bytes come in.
const READ_BYTES: usize = 16 << 10;
/// Answers collected for one write while further requests are in the buffer already.
const WRITE_BYTES: usize = 256 << 10;
/// The memory of requests is counted in units of so many bytes.
pub(crate) const PERMIT_BYTES: usize = 1 << 10;

/// Why a connection ended before the client left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Violation(#[from] Violation),
    #[error("request of {0} bytes, the limit is {1}")]
    TooLong(i64, usize),
    #[error("silent for {0:?}")]
    Idle(Duration),
}

/// Serves one client until it leaves (`Ok`) or has to be sent away.
pub(crate) async fn serve(
    node: Arc<Node>,
    mut stream: TcpStream,
    memory: Arc<Semaphore>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let client = Client {
        host: stream.peer_addr()?.ip(),
        local: stream.local_addr()?.ip(),
    };
    let idle = node.config.idle_timeout;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut output = BytesMut::new();
    loop {
        let Some((frame, _permit)) = read_frame(&node, &mut stream, &mut input, &memory).await?
        else {
            return Ok(());
        };
        if let Some(answer) = api::answer(&node, &client, frame).await? {
            match output.is_empty() {
                true => output = answer,
                false => output.extend_from_slice(&answer),
            }
        }
        if !output.is_empty() && (output.len() >= WRITE_BYTES || !has_frame(&input)) {
            let write = timeout(idle, stream.write_all_buf(&mut output));
            write.await.map_err(|_| Error::Idle(idle))??;
            output = BytesMut::new(); // not kept: a large answer would stay in memory
        }
    }
}

fn has_frame(input: &[u8]) -> bool {
    input
        .first_chunk()
        .is_some_and(|length| input.len() - 4 >= u32::from_be_bytes(*length) as usize)
}

/// The next frame without its length, and its share of the memory; `None` when the client has left.
async fn read_frame(
    node: &Node,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    memory: &Arc<Semaphore>,
) -> Result<Option<(Bytes, OwnedSemaphorePermit)>, Error> {
    if !fill(node, stream, input, 4).await? {
        return Ok(None);
    }
    let length = i64::from(input.get_i32());
    let limit = node.config.request_bytes_max;
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|&length| length <= limit)
    else {
        return Err(Error::TooLong(length, limit));
    };
    let share = (length / PERMIT_BYTES + 1).min(node.config.queued_bytes_max / PERMIT_BYTES) as u32;
    let permit = memory
        .clone()
        .acquire_many_owned(share)
        .await
        .map_err(io::Error::other)?;
    if !fill(node, stream, input, length).await? {
        return Ok(None);
    }
    let frame = input.split_to(length).freeze();
    if input.is_empty() {
        *input = BytesMut::with_capacity(READ_BYTES); // the frame keeps the old buffer, and frees it when done
    }
    Ok(Some((frame, permit)))
}

/// Reads until `wanted` bytes are there; `false` if the client leaves before.
async fn fill(
    node: &Node,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    wanted: usize,
) -> Result<bool, Error> {
    let idle = node.config.idle_timeout;
    while input.len() < wanted {
        input.reserve(READ_BYTES);
        if timeout(idle, stream.read_buf(input))
            .await
            .map_err(|_| Error::Idle(idle))??
            == 0
        {
            return Ok(false);
        }
    }
    Ok(true)
}
