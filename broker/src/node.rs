//! What the connections of one node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kafka::{Ends, Lookup, Start, Tail};
use mqtt::session::{Delivery, Limits, Message};
use mqtt::{ReasonCode, TopicFilter};

use crate::acl::Acl;
use crate::auth::Authentication;
use crate::catch_up::CatchUp;
use crate::egress::Egress;
use crate::ingress::Ingress;
use crate::logs::Logs;
use crate::mailbox::{self, Mailbox};
use crate::membership::Membership;
use crate::metrics::Metrics;
use crate::rules::{Rules, Source};
use crate::sessions::Sessions;
use crate::share::Shares;
use crate::subscriptions::ConnectionId;

/// How long a connection or a subscription waits for Kafka; then it is refused, and the client may try again. A guess.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The position of a session in a partition that its node does not read.
pub(crate) const UNREAD: i64 = -1;

pub(crate) struct Node {
    /// Names this node in what it stores.
    pub(crate) name: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) started_ms: u64,
    pub(crate) limits: Arc<Limits>,
    pub(crate) settings: NodeSettings,
    pub(crate) rules: Arc<Rules>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) users: Authentication,
    pub(crate) acl: Acl,
    pub(crate) ingress: Ingress,
    pub(crate) egress: Arc<Egress>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) catch_up: CatchUp,
    pub(crate) lookup: Lookup,
    pub(crate) ends: Ends,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) membership: Membership,
    pub(crate) shares: Shares,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) next_id: AtomicU64,
}

/// Settings that connections look at.
pub(crate) struct NodeSettings {
    pub(crate) queue: mailbox::Bounds,
    pub(crate) subscriptions_max: usize,
    /// Where clients are sent when the node is taken down.
    pub(crate) server_reference: Option<String>,
    /// What a client that asks may build response topics from; `{client_id}` stands for its own.
    pub(crate) response_information: Option<String>,
    /// How often a session that gets messages is stored.
    pub(crate) checkpoint: Duration,
}

impl Node {
    pub(crate) fn new_id(&self) -> ConnectionId {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// From where a session wants each of `kafka_topics` again: by topic, a position for each partition. `ready` is what
    /// its connection has taken out of the mailbox and not sent.
    pub(crate) fn positions<'a>(
        &self,
        kafka_topics: impl IntoIterator<Item = &'a str>,
        mailbox: &Mailbox,
        ready: &std::collections::VecDeque<Delivery>,
    ) -> Vec<(&'a str, Vec<i64>)> {
        let mut positions = Vec::new();
        for kafka_topic in kafka_topics {
            // Read before the mailbox is looked at: what was done by then is in the mailbox, or was taken out of it.
            let done = self.tail.progress(kafka_topic, |all| {
                let done = |of: &Option<Arc<kafka::Progress>>| of.as_ref().map(|of| of.done());
                all.iter().map(done).collect()
            });
            let Some(done): Option<Vec<Option<i64>>> = done else {
                continue;
            };
            let of_partition = |(partition, done): (usize, Option<i64>)| {
                let Some(done) = done else {
                    return UNREAD;
                };
                let log = self.logs.number(kafka_topic, partition as i32);
                log.map_or(done, |log| {
                    let position = mailbox.position(log, done);
                    mailbox::first_of(ready, log).map_or(position, |first| first.min(position))
                })
            };
            let of_topic = done.into_iter().enumerate().map(of_partition).collect();
            positions.push((kafka_topic, of_topic));
        }
        positions
    }

    /// Waits until the node has read what any node had acknowledged of a Kafka topic, so that what comes now is newer.
    pub(crate) async fn reach_end(&self, kafka_topic: &str) -> Result<(), ReasonCode> {
        self.patiently(self.tail.reach_end(kafka_topic))
            .await?
            .map_err(|error| {
                tracing::warn!(%error, kafka_topic, "can't find where it ends");
                ReasonCode::SERVER_UNAVAILABLE
            })
    }

    /// The retained messages of a filter, for a subscription that is in the tree already. A retained message is stored
    /// before its publish is, or with it, so whatever the subscriber has missed by coming now is acknowledged, and is
    /// found here once this node has caught up.
    pub(crate) async fn retained(
        &self,
        filter: &TopicFilter,
    ) -> Result<Vec<Arc<Message>>, ReasonCode> {
        // Whatever node the publisher is on: up to where the topic ends now.
        let stores = std::iter::once(self.egress.retained_topic.as_str())
            .chain(self.rules.stores_of(filter.as_str()));
        for kafka_topic in stores {
            self.reach_end(kafka_topic).await?;
        }
        Ok(self.egress.retained.matching(filter))
    }

    pub(crate) fn count_subscriptions(&self) {
        self.metrics.subscriptions.set(self.subscriptions() as i64);
    }

    /// How many subscriptions there are; those of one shared group count as one.
    pub(crate) fn subscriptions(&self) -> usize {
        self.egress.subscriptions.len() + self.shares.len()
    }

    pub(crate) async fn patiently<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, ReasonCode> {
        tokio::time::timeout(PATIENCE, work)
            .await
            .map_err(|_| ReasonCode::SERVER_UNAVAILABLE)
    }

    /// Reads what one more subscription needs.
    pub(crate) async fn follow(&self, sources: &[Source<'_>]) -> Result<(), ReasonCode> {
        for (at, source) in sources.iter().enumerate() {
            let key = source.key.as_deref().map(str::as_bytes);
            let follow = self.tail.follow(source.kafka_topic, key, Start::End);
            let refused = match self.patiently(follow).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => {
                    tracing::warn!(%error, kafka_topic = source.kafka_topic, "can't follow");
                    ReasonCode::UNSPECIFIED_ERROR
                }
                Err(reason) => reason,
            };
            self.release(&sources[..at]).await;
            return Err(refused);
        }
        Ok(())
    }

    /// One subscription less needs these.
    pub(crate) async fn release(&self, sources: &[Source<'_>]) {
        for source in sources {
            let key = source.key.as_deref().map(str::as_bytes);
            if let Err(error) = self.tail.unfollow(source.kafka_topic, key).await {
                tracing::warn!(%error, kafka_topic = source.kafka_topic, "can't stop following");
            }
        }
    }
}
