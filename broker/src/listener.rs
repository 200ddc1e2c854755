//! Accepts clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use service::Shutdown;

use crate::connection::Connection;
use crate::node::Node;
use crate::transport::{Transport, accept_websocket};

/// How long to wait when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Silence after which the system asks whether the other end is there. A guess: below the idle time of usual NATs.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(120);

/// What one listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    WebSocket,
}

/// Accepts until `shutdown`; each connection is a task of `tasks`. `room` bounds the connections of all listeners.
pub(crate) async fn accept(
    listener: TcpListener,
    protocol: Protocol,
    rate: Arc<Rate>,
    node: Arc<Node>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: Shutdown,
) {
    loop {
        let next = async {
            rate.turn().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = next => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            // Closed at once: it costs us nothing, and the client may try another node.
            node.metrics.connect("too many connections");
            continue;
        };
        let (node, connections) = (Arc::clone(&node), tasks.clone());
        tasks.spawn(async move {
            // Boxed: a connection waits most of its time, and then only what it waits for should take memory.
            if let Some(transport) = Box::pin(open(stream, protocol, &node)).await {
                let mut connection = Box::new(Connection::new(node, connections, transport));
                connection.run().await;
                Box::pin(connection.finish()).await;
            }
            drop(permit);
        });
    }
}

/// How many connections are accepted in a second: who comes beyond waits in the system's queue, so that a herd of clients
/// that come back together does not starve those who are here.
pub(crate) struct Rate {
    per_second: u32,
    next: tokio::sync::Mutex<tokio::time::Instant>,
}

/// How many connections may come at once after a quiet time, as a share of a second.
const BURST: Duration = Duration::from_millis(100);

impl Rate {
    /// 0: no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            next: tokio::sync::Mutex::new(tokio::time::Instant::now()),
        }
    }

    /// Waits until one more may come.
    async fn turn(&self) {
        if self.per_second == 0 {
            return;
        }
        let mut next = self.next.lock().await;
        let now = tokio::time::Instant::now();
        if *next > now + BURST {
            tokio::time::sleep_until(*next - BURST).await;
        }
        *next = (*next).max(now) + Duration::from_secs(1) / self.per_second;
    }
}

async fn open(stream: TcpStream, protocol: Protocol, node: &Node) -> Option<Transport> {
    // The system notices a client that vanished without a word, also one that has no keep alive of its own.
    let keep_alive = socket2::TcpKeepalive::new().with_time(TCP_KEEP_ALIVE);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = set {
        tracing::debug!(%error, "connection lost at once");
        return None;
    }
    match protocol {
        Protocol::Tcp => Some(Transport::Tcp(stream)),
        Protocol::WebSocket => {
            // A browser may put several packets into one message.
            let message_bytes_max = node.limits.packet_bytes_max.max(1 << 20) + (1 << 16);
            let handshake = accept_websocket(stream, message_bytes_max);
            match tokio::time::timeout(node.limits.connect_timeout, handshake).await {
                Ok(Ok(transport)) => Some(transport),
                Ok(Err(error)) => {
                    node.metrics.connect("websocket handshake failed");
                    tracing::debug!(%error, "websocket handshake failed");
                    None
                }
                Err(_) => {
                    node.metrics.connect("websocket handshake failed");
                    None
                }
            }
        }
    }
}
