//! The node: all state that requests work on, and the tasks that look after it.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::groups::Groups;
use crate::log::segment::now_ms;
use crate::producer_ids::ProducerIds;
use crate::topics::{OFFSETS, TRANSACTIONS, Topic, Topics};
use crate::transactions::Transactions;

/// The id of the one node there is.
pub(crate) const NODE_ID: i32 = 1;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) local_addr: SocketAddr,
    pub(crate) cluster_id: String,
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) transactions: Transactions,
    pub(crate) producer_ids: Arc<ProducerIds>,
    /// Cancelled when the server stops.
    pub(crate) stop: CancellationToken,
    /// Held as long as the node lives, so that no second server opens the directory.
    _lock: File,
}

impl Node {
    /// Recovers the state from the data directory.
    pub(crate) fn open(config: Config, local_addr: SocketAddr) -> io::Result<Node> {
        let stop = CancellationToken::new();
        let dir = config.data_dir.clone();
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another server uses it")
            }
        })?;
        let cluster_id = cluster_id(&dir.join("cluster-id"))?;
        let producer_ids = Arc::new(ProducerIds::open(dir.join("producer-ids"))?);
        let topics = Arc::new(Topics::open(dir.join("topics"))?);
        let groups = Arc::new(Groups::open(internal_topic(&topics, OFFSETS)?)?);
        let state = internal_topic(&topics, TRANSACTIONS)?;
        let transactions =
            Transactions::open(state, topics.clone(), groups.clone(), producer_ids.clone())?;
        Ok(Node {
            config,
            local_addr,
            cluster_id,
            topics,
            groups,
            transactions,
            producer_ids,
            stop,
            _lock: lock,
        })
    }

    /// Looks after retention, compaction and expiry, for ever.
    pub(crate) async fn run_cleanup(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.config.cleanup_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.clone().blocking(Node::clean).await;
        }
    }

    /// Brings appended records to the disk, for ever; sleeps while there are none.
    pub(crate) async fn run_flush(self: Arc<Self>) {
        let Some(interval) = self.config.flush_interval else {
            return;
        };
        loop {
            self.topics.unsynced.notified().await;
            tokio::time::sleep(interval).await;
            self.clone().blocking(Node::sync).await;
        }
    }

    /// Off the async threads: a pass over all partitions may read and write gigabytes.
    async fn blocking(self: Arc<Self>, work: fn(&Node)) {
        if let Err(error) = tokio::task::spawn_blocking(move || work(&self)).await {
            tracing::error!(%error, "background work failed");
        }
    }

    fn clean(&self) {
        let now = now_ms();
        for topic in self.topics.all() {
            let config = topic.config();
            for (index, partition) in topic.partitions().iter().enumerate() {
                if self.stop.is_cancelled() {
                    return;
                }
                let mut result = partition.apply_retention(&config, now);
                if config.compact {
                    result = result.and_then(|()| partition.compact(&config, now));
                }
                if let Err(error) = result {
                    tracing::error!(topic = topic.name, partition = index, %error, "cannot clean");
                }
            }
        }
        if let Err(error) = self
            .groups
            .expire(now)
            .and_then(|()| self.transactions.expire(now))
        {
            tracing::error!(%error, "cannot expire old state");
        }
    }

    /// Brings what was appended so far to the disk.
    pub(crate) fn sync(&self) {
        for topic in self.topics.all() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                if let Err(error) = partition.sync() {
                    tracing::error!(topic = topic.name, partition = index, %error, "cannot sync");
                }
            }
        }
    }
}

fn internal_topic(topics: &Topics, name: &str) -> io::Result<Arc<Topic>> {
    if let Some(topic) = topics.get(name) {
        return Ok(topic);
    }
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "16777216")];
    let settings: BTreeMap<String, String> = settings
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    match topics.create(name, 1, settings, false) {
        Ok(Some(topic)) => Ok(topic),
        Ok(None) => Err(io::Error::other(format!("{name} was not made"))),
        Err((_, why)) => Err(io::Error::other(why)),
    }
}

fn cluster_id(path: &std::path::Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            crate::storage::write_atomically(path, id.as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}
