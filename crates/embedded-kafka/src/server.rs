//! Start, accept, shut down.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection::{self, PERMIT_BYTES};
use crate::node::Node;

/// Connections are cut off this long after a shutdown begins.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// Wait after a failed accept: the reason (no file descriptors left) does not go away at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use data directory {}: {source}", dir.display())]
    Storage {
        /// As configured.
        dir: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
}

/// A running server. Dropped without [`Server::shutdown`] it stops too, without bringing the last records to the disk.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    tasks: TaskTracker,
}

impl Server {
    /// Recovers the log and listens; connections are accepted when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`] names the address, directory or setting that is wrong.
    pub async fn start(config: Config) -> Result<Server, Error> {
        check(&config)?;
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source })?;
        let local_addr = listener
            .local_addr()
            .map_err(|source| Error::Listen { address, source })?;
        let dir = config.data_dir.clone();
        let open = tokio::task::spawn_blocking(move || Node::open(config, local_addr)).await;
        let node = open
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| Error::Storage { dir, source })?;
        let server = Server {
            node: Arc::new(node),
            tasks: TaskTracker::new(),
        };
        let node = &server.node;
        server.spawn(accept(
            node.clone(),
            listener,
            node.stop.clone(),
            server.tasks.clone(),
        ));
        server.spawn({
            let node = node.clone();
            async move { node.groups.run_timers().await }
        });
        server.spawn({
            let node = node.clone();
            async move { node.transactions.run_timers().await }
        });
        server.spawn(node.clone().run_cleanup());
        server.spawn(node.clone().run_flush());
        Ok(server)
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.node.local_addr
    }

    /// What clients take as `bootstrap.servers`, e.g. `127.0.0.1:39123`.
    pub fn bootstrap_servers(&self) -> String {
        let address = self.local_addr();
        match &self.node.config.advertised_host {
            Some(host) => format!("{host}:{}", address.port()),
            None if address.ip().is_unspecified() => format!("127.0.0.1:{}", address.port()),
            None => address.to_string(),
        }
    }

    /// Closes the connections and brings everything to the disk.
    pub async fn shutdown(self) {
        self.node.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background work goes on while the server stops");
        }
        let node = self.node.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || node.sync()).await {
            tracing::error!(%error, "cannot sync");
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.node.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled(task).await });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.node.stop.cancel();
    }
}

async fn accept(
    node: Arc<Node>,
    listener: TcpListener,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(node.config.connections_max));
    let memory = Arc::new(Semaphore::new(node.config.queued_bytes_max / PERMIT_BYTES));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            tracing::warn!(%peer, max = node.config.connections_max, "too many connections");
            continue;
        };
        let (node, stop, memory) = (node.clone(), stop.clone(), memory.clone());
        tasks.spawn(async move {
            match stop
                .run_until_cancelled(connection::serve(node, stream, memory))
                .await
            {
                Some(Err(connection::Error::Io(error))) => {
                    tracing::debug!(%peer, %error, "connection lost")
                }
                Some(Err(error)) => tracing::warn!(%peer, %error, "connection closed"),
                Some(Ok(())) | None => {}
            }
            drop(slot);
        });
    }
}

fn check(config: &Config) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::Config(what.to_owned()));
    if config.default_partitions < 1 {
        return wrong("default_partitions must be at least 1");
    }
    if config.connections_max < 1 || config.request_bytes_max < 1 {
        return wrong("connections_max and request_bytes_max must be at least 1");
    }
    if config.queued_bytes_max < config.request_bytes_max.max(PERMIT_BYTES) {
        return wrong("queued_bytes_max must be at least request_bytes_max and 1024");
    }
    if config.cleanup_interval.is_zero()
        || config
            .flush_interval
            .is_some_and(|interval| interval.is_zero())
    {
        return wrong("cleanup_interval and flush_interval must be longer than nothing");
    }
    Ok(())
}
