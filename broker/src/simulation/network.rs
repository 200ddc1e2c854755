//! Connections between clients and nodes: bytes keep their order within one, and nothing else. One may be lost for both
//! ends, or be half-open: then what one end sends gets nowhere, and it is not told.

use std::collections::BTreeMap;

use bytes::BytesMut;
use mqtt::ReasonCode;
use mqtt::session::Token;

use super::world::{Elsewhere, Event, Stream, World};

#[derive(Default)]
pub(super) struct Network(BTreeMap<u64, Connection>);

/// One connection, with what its driver's mailbox has.
pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) node: usize,
    pub(super) is_accepted: bool,
    /// Nothing gets through any more.
    is_dead: bool,
    to_client: u64,
    pub(super) inbox: BytesMut,
    pub(super) is_over: bool,
    pub(super) appended: Vec<(Token, Result<(), ReasonCode>)>,
    pub(super) saved: Option<Result<(), ReasonCode>>,
    pub(super) close: Option<ReasonCode>,
}

impl Network {
    pub(super) fn get(&mut self, id: u64) -> &mut Connection {
        self.0.get_mut(&id).expect("connections are kept")
    }

    pub(super) fn arrived(&mut self, id: u64, bytes: Option<Vec<u8>>) {
        let connection = self.get(id);
        match bytes {
            Some(bytes) => connection.inbox.extend_from_slice(&bytes),
            None => connection.is_over = true,
        }
    }
}

impl World {
    pub(super) fn open_connection(&mut self, client: usize, node: usize) -> u64 {
        let id = self.new_id();
        self.network.0.insert(
            id,
            Connection {
                client,
                node,
                is_accepted: false,
                is_dead: false,
                to_client: 0,
                inbox: BytesMut::new(),
                is_over: false,
                appended: Vec::new(),
                saved: None,
                close: None,
            },
        );
        id
    }

    pub(super) fn send_to_server(&mut self, id: u64, bytes: Option<Vec<u8>>) {
        let at = self.now + self.latency();
        let connection = self.network.get(id);
        let node = connection.node;
        if connection.is_dead || self.nodes[node].process == 0 {
            return;
        }
        let stream = Stream::Connection(id);
        let at = self.nodes[node].in_order(stream, at);
        match bytes {
            // Packets may come in pieces.
            Some(mut bytes) if bytes.len() > 1 && self.rng.one_in(4) => {
                let at_byte = 1 + self.rng.below(bytes.len() - 1);
                let rest = bytes.split_off(at_byte);
                self.of_node(node, at, stream, Event::Bytes(id, Some(bytes)));
                self.of_node(node, at, stream, Event::Bytes(id, Some(rest)));
            }
            other => self.of_node(node, at, stream, Event::Bytes(id, other)),
        }
    }

    pub(super) fn send_to_client(&mut self, id: u64, bytes: Option<Vec<u8>>) {
        let at = self.now + self.latency();
        let connection = self.network.get(id);
        connection.to_client = connection.to_client.max(at);
        if !connection.is_dead {
            let at = connection.to_client;
            self.schedule(at, Elsewhere::ToClient(id, bytes));
        }
    }

    /// Nothing gets through any more. `tells`: both ends find out at once.
    pub(super) fn lose_connection(&mut self, id: u64, tells: bool) {
        if tells {
            self.send_to_server(id, None);
            self.send_to_client(id, None);
        }
        self.network.get(id).is_dead = true;
    }

    pub(super) fn connections_of(&self, node: usize) -> Vec<u64> {
        let of_node = self.network.0.iter().filter(|(_, c)| c.node == node);
        of_node.map(|(id, _)| *id).collect()
    }
}
