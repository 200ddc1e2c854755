//! Asks a Kafka node how many nodes its cluster has, so that a start is over when the cluster answers, not when the
//! port is open. One request spelled by hand: this crate then needs no Kafka client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// ```text
/// length i32 | api key i16: 3, Metadata | version i16: 1 | correlation id i32 | client id: null | topics i32: none
/// ```
const METADATA_REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// How many nodes the node at `addr` knows to be up.
pub(crate) fn nodes_up(addr: SocketAddr) -> std::io::Result<u32> {
    let timeout = Duration::from_secs(5);
    let mut socket = TcpStream::connect_timeout(&addr, timeout)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.write_all(&METADATA_REQUEST)?;
    // length i32 | correlation id i32 | number of nodes i32 | the nodes, which we don't read
    let mut head = [0; 12];
    socket.read_exact(&mut head)?;
    let [.., a, b, c, d] = head;
    Ok(u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_number_of_nodes_is_read_from_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut request = [0; METADATA_REQUEST.len()];
            socket.read_exact(&mut request).unwrap();
            let length = i32::from_be_bytes(request[..4].try_into().unwrap());
            assert_eq!(usize::try_from(length).unwrap(), request.len() - 4);
            socket
                .write_all(&[0, 0, 0, 99, 0, 0, 0, 7, 0, 0, 0, 3, 1, 2])
                .unwrap();
        });
        assert_eq!(nodes_up(addr).unwrap(), 3);
        server.join().unwrap();
    }
}
