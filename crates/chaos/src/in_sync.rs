//! Asks a Kafka node whether every partition has all of its replicas in sync. One request spelled by hand: the tasks then
//! need no Kafka client.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, TryGetError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// ```text
/// length i32 | api key i16: 3, Metadata | version i16: 1 | correlation id i32 | client id: null | topics: null, all
/// ```
const REQUEST: [u8; 18] = [
    0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];
const TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u32 = 1 << 20;

/// Whether the node at `addr` sees `nodes` nodes, and each partition on all of its replicas.
pub(crate) async fn ask(addr: SocketAddr, nodes: usize) -> anyhow::Result<bool> {
    let answer = timeout(TIMEOUT, metadata(addr)).await??;
    Ok(read(answer, nodes)?)
}

async fn metadata(addr: SocketAddr) -> std::io::Result<Bytes> {
    let mut socket = TcpStream::connect(addr).await?;
    socket.write_all(&REQUEST).await?;
    let length = socket.read_u32().await?;
    if length > ANSWER_BYTES_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length as usize];
    socket.read_exact(&mut answer).await?;
    Ok(answer.into())
}

/// ```text
/// correlation id i32
/// nodes:  count i32, each: id i32 | host string | port i32 | rack string
/// controller i32
/// topics: count i32, each: error i16 | name string | internal bool | partitions
/// partitions: count i32, each: error i16 | number i32 | leader i32 | replicas: i32s | in sync: i32s
/// ```
fn read(mut answer: Bytes, nodes: usize) -> Result<bool, TryGetError> {
    let answer = &mut answer;
    answer.try_get_i32()?;
    let known = answer.try_get_i32()?;
    for _ in 0..known {
        answer.try_get_i32()?;
        skip_text(answer)?;
        answer.try_get_i32()?;
        skip_text(answer)?;
    }
    let mut is_whole = usize::try_from(known).is_ok_and(|known| known == nodes);
    answer.try_get_i32()?;
    for _ in 0..answer.try_get_i32()? {
        let error = answer.try_get_i16()?;
        skip_text(answer)?;
        answer.try_get_u8()?;
        is_whole &= error == 0;
        for _ in 0..answer.try_get_i32()? {
            let error = answer.try_get_i16()?;
            answer.try_get_i32()?;
            let leader = answer.try_get_i32()?;
            let [replicas, in_sync] = [numbers(answer)?, numbers(answer)?];
            is_whole &= error == 0 && leader >= 0 && replicas == in_sync;
        }
    }
    Ok(is_whole)
}

/// How many numbers a list has.
fn numbers(answer: &mut Bytes) -> Result<i32, TryGetError> {
    let count = answer.try_get_i32()?;
    for _ in 0..count {
        answer.try_get_i32()?;
    }
    Ok(count)
}

/// A length of -1 is no text.
fn skip_text(answer: &mut Bytes) -> Result<(), TryGetError> {
    for _ in 0..answer.try_get_i16()? {
        answer.try_get_u8()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn answer(leader: i32, in_sync: &[i32]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i32(7);
        out.put_i32(2);
        for node in [1, 2] {
            out.put_i32(node);
            out.put_slice(b"\0\x01h");
            out.put_i32(9092);
            out.put_i16(-1);
        }
        out.put_i32(1);
        out.put_i32(1);
        out.put_slice(b"\0\0\0\x01t\0");
        out.put_i32(1);
        out.put_i16(0);
        out.put_i32(0);
        out.put_i32(leader);
        for list in [&[1, 2], in_sync] {
            out.put_i32(list.len() as i32);
            list.iter().for_each(|node| out.put_i32(*node));
        }
        out.freeze()
    }

    #[test]
    fn it_is_whole_with_a_leader_and_all_replicas() {
        for (leader, in_sync, nodes, is_whole) in [
            (1, &[2, 1][..], 2, true),
            (1, &[1], 2, false),
            (-1, &[1, 2], 2, false),
            (1, &[1, 2], 3, false),
        ] {
            assert_eq!(read(answer(leader, in_sync), nodes).unwrap(), is_whole);
        }
        let cut = answer(1, &[1, 2]).slice(..40);
        assert!(read(cut, 2).is_err());
    }
}
