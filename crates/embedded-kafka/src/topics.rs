//! The topics of the node: names, ids, settings and partitions, each topic in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::log::{LogConfig, Partition};
use crate::storage::{storage_error, write_atomically};

/// Partitions on the node, internal ones too: each costs a directory, a file and some kilobytes.
const PARTITIONS_MAX: usize = 10_000;
/// Committed offsets, and the state of transactions.
pub(crate) const OFFSETS: &str = "__consumer_offsets";
pub(crate) const TRANSACTIONS: &str = "__transaction_state";

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    dir: PathBuf,
    config: RwLock<Arc<LogConfig>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
}

/// What `topic.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    id: Uuid,
    partitions: usize,
    config: BTreeMap<String, String>,
}

impl Topic {
    pub(crate) fn config(&self) -> Arc<LogConfig> {
        self.config.read().clone()
    }

    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        self.partitions
            .read()
            .get(usize::try_from(index).ok()?)
            .cloned()
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().clone()
    }

    pub(crate) fn partition_count(&self) -> i32 {
        self.partitions.read().len() as i32
    }

    pub(crate) fn is_internal(&self) -> bool {
        self.name == OFFSETS || self.name == TRANSACTIONS
    }

    /// Replaces the settings.
    pub(crate) fn set_config(&self, config: LogConfig) -> io::Result<()> {
        let mut current = self.config.write();
        store(&self.dir, self.id, self.partitions.read().len(), &config)?;
        *current = Arc::new(config);
        Ok(())
    }

    fn load(dir: PathBuf, name: String, unsynced: &Arc<Notify>) -> io::Result<Topic> {
        let describe = |error: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("topic {name}: {error}"))
        };
        let text = fs::read_to_string(dir.join("topic.json"))?;
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| describe(error.to_string()))?;
        let config = LogConfig::new(stored.config).map_err(describe)?;
        let open = |index: usize| {
            Partition::open(dir.join(index.to_string()), unsynced.clone()).map(Arc::new)
        };
        let partitions = (0..stored.partitions)
            .map(open)
            .collect::<io::Result<_>>()?;
        let (config, partitions) = (RwLock::new(Arc::new(config)), RwLock::new(partitions));
        Ok(Topic {
            name,
            id: stored.id,
            dir,
            config,
            partitions,
        })
    }
}

fn store(dir: &Path, id: Uuid, partitions: usize, config: &LogConfig) -> io::Result<()> {
    let stored = Stored {
        id,
        partitions,
        config: config.explicit.clone(),
    };
    write_atomically(
        &dir.join("topic.json"),
        &serde_json::to_vec_pretty(&stored)?,
    )
}

/// All topics, by name.
#[derive(Debug)]
pub(crate) struct Topics {
    dir: PathBuf,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Notified when a partition has something to bring to the disk.
    pub(crate) unsynced: Arc<Notify>,
}

/// Why a topic is not created: the code for the client and the words for its user.
pub(crate) type Refusal = (ResponseError, String);

impl Topics {
    /// Opens every topic below `dir` and recovers its logs.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Topics> {
        fs::create_dir_all(&dir)?;
        let unsynced = Arc::new(Notify::new());
        let mut topics = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned)
            else {
                continue;
            };
            if check_name(&name).is_ok() && path.join("topic.json").exists() {
                topics.insert(name.clone(), Arc::new(Topic::load(path, name, &unsynced)?));
            } else {
                fs::remove_dir_all(&path)?; // deleted, or never finished
            }
        }
        Ok(Topics {
            dir,
            topics: RwLock::new(topics),
            unsynced,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics
            .read()
            .values()
            .find(|topic| topic.id == id)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.read().values().cloned().collect()
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.get(topic)?.partition(index)
    }

    /// Creates a topic, or with `validate_only` says whether it could be.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<Option<Arc<Topic>>, Refusal> {
        check_name(name).map_err(|why| (ResponseError::InvalidTopicException, why))?;
        let config = LogConfig::new(settings).map_err(|why| (ResponseError::InvalidConfig, why))?;
        let mut topics = self.topics.write();
        if topics.contains_key(name) {
            return Err((
                ResponseError::TopicAlreadyExists,
                format!("topic {name} is there already"),
            ));
        }
        check_count(&topics, partitions)?;
        if validate_only {
            return Ok(None);
        }
        let dir = self.dir.join(name);
        let id = Uuid::new_v4();
        let made = fs::create_dir_all(&dir)
            .and_then(|()| store(&dir, id, partitions as usize, &config))
            .and_then(|()| Topic::load(dir, name.to_owned(), &self.unsynced));
        let topic =
            Arc::new(made.map_err(|error| (storage_error(error), "storage failed".into()))?);
        topics.insert(name.to_owned(), topic.clone());
        Ok(Some(topic))
    }

    /// Adds partitions up to `count`.
    pub(crate) fn grow(
        &self,
        topic: &Topic,
        count: i32,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let mut partitions = topic.partitions.write();
        if count <= partitions.len() as i32 {
            let why = format!(
                "topic {} has {} partitions, {count} is not more",
                topic.name,
                partitions.len()
            );
            return Err((ResponseError::InvalidPartitions, why));
        }
        check_count(&self.topics.read(), count)?;
        if validate_only {
            return Ok(());
        }
        let storage = |error| (storage_error(error), "storage failed".into());
        let mut grown = partitions.clone();
        for index in partitions.len()..count as usize {
            grown.push(Arc::new(
                Partition::open(topic.dir.join(index.to_string()), self.unsynced.clone())
                    .map_err(storage)?,
            ));
        }
        store(&topic.dir, topic.id, grown.len(), &topic.config()).map_err(storage)?;
        *partitions = grown;
        Ok(())
    }

    /// Deletes a topic: at once for clients, then its files.
    pub(crate) fn delete(&self, name: &str) -> Result<Arc<Topic>, ResponseError> {
        let mut topics = self.topics.write();
        let topic = topics
            .remove(name)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        for partition in topic.partitions() {
            partition.delete();
        }
        // No topic's name has a tilde: after a crash in between, the next start knows what it sees.
        let doomed = self.dir.join(format!("~{}", topic.id));
        fs::rename(&topic.dir, &doomed).map_err(storage_error)?;
        drop(topics);
        fs::remove_dir_all(&doomed).map_err(storage_error)?;
        Ok(topic)
    }
}

/// Whether there is room for so many partitions more. A topic that is just growing is locked, and not counted.
fn check_count(topics: &BTreeMap<String, Arc<Topic>>, wanted: i32) -> Result<(), Refusal> {
    if wanted < 1 {
        return Err((
            ResponseError::InvalidPartitions,
            "a topic has at least 1 partition".into(),
        ));
    }
    let used: usize = topics
        .values()
        .filter_map(|t| t.partitions.try_read().map(|p| p.len()))
        .sum();
    if used + wanted as usize > PARTITIONS_MAX {
        return Err((
            ResponseError::InvalidPartitions,
            format!("a node has at most {PARTITIONS_MAX} partitions"),
        ));
    }
    Ok(())
}

/// Kafka's rule.
fn check_name(name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty()
        || name.len() > 249
        || name == "."
        || name == ".."
        || !name.chars().all(is_legal)
    {
        return Err(format!(
            "topic name {name:?} must be 1 to 249 letters, digits, dots, underscores or dashes"
        ));
    }
    Ok(())
}
