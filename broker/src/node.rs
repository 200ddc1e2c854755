//! What the connections of one node share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kafka::{Start, Tail};
use mqtt::packet::{Connect, RetainHandling, Subscription};
use mqtt::session::{Delivery, Limits, Message};
use mqtt::{ReasonCode, TopicFilter};
use parking_lot::Mutex;

use crate::acl::Acl;
use crate::auth::{Identity, Users};
use crate::egress::Egress;
use crate::ingress::Ingress;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::rules::Rules;
use crate::subscriptions::{ConnectionId, Subscriber, retained_delivery};

/// How long a subscription waits for Kafka; then it is refused, and the client may try again. A guess.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Node {
    pub(crate) limits: Arc<Limits>,
    pub(crate) client_queue: usize,
    pub(crate) rules: Arc<Rules>,
    pub(crate) users: Users,
    pub(crate) acl: Acl,
    pub(crate) ingress: Ingress,
    pub(crate) egress: Arc<Egress>,
    pub(crate) tail: Tail,
    pub(crate) metrics: Arc<Metrics>,
    /// How many subscriptions need each Kafka topic.
    pub(crate) needed: tokio::sync::Mutex<HashMap<String, usize>>,
    pub(crate) clients: Mutex<HashMap<String, (ConnectionId, Arc<Mailbox>)>>,
    pub(crate) next_id: AtomicU64,
}

/// A client that was let in.
pub(crate) struct Admitted {
    pub(crate) id: ConnectionId,
    pub(crate) identity: Arc<Identity>,
    /// The client identifier that the server chose, if it did.
    pub(crate) assigned: Option<String>,
}

impl Node {
    /// Decides on a CONNECT; an earlier connection of the same client identifier is closed [MQTT-3.1.4-3].
    pub(crate) fn admit(
        &self,
        connect: &Connect,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Admitted, ReasonCode> {
        let username = connect.username.as_deref();
        if !self.users.admit(username, connect.password.as_deref()) {
            return Err(match username {
                Some(_) => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
                None => ReasonCode::NOT_AUTHORIZED,
            });
        }
        let assigned = connect
            .client_id
            .is_empty()
            .then(|| format!("auto-{:016x}", rand::random::<u64>()));
        let client_id = assigned.as_deref().unwrap_or(&connect.client_id).to_owned();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let before = self
            .clients
            .lock()
            .insert(client_id.clone(), (id, Arc::clone(mailbox)));
        if let Some((_, old)) = before {
            old.close(ReasonCode::SESSION_TAKEN_OVER);
        }
        Ok(Admitted {
            id,
            identity: Arc::new(Identity {
                username: username.map(ToOwned::to_owned),
                client_id,
            }),
            assigned,
        })
    }

    /// A connection is gone: its client identifier is free, unless a newer connection has it.
    pub(crate) fn leave(&self, admitted: &Admitted) {
        let mut clients = self.clients.lock();
        let client_id = &admitted.identity.client_id;
        if clients
            .get(client_id)
            .is_some_and(|(id, _)| *id == admitted.id)
        {
            clients.remove(client_id);
        }
    }

    /// Tells all clients that the server goes.
    pub(crate) fn close_all(&self, reason: ReasonCode) {
        for (_, mailbox) in self.clients.lock().values() {
            mailbox.close(reason);
        }
    }

    /// Makes one subscription. When this returns, every message that Kafka acknowledges from now on is delivered; the
    /// retained messages to send first are added to `retained`.
    pub(crate) async fn subscribe(
        &self,
        admitted: &Admitted,
        mailbox: &Arc<Mailbox>,
        subscription: &Subscription,
        subscription_id: Option<u32>,
        retained: &mut impl Extend<Delivery>,
    ) -> Result<IsNew, ReasonCode> {
        let filter = &subscription.filter;
        if filter.share_group().is_some() {
            return Err(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if !self.acl.may_subscribe(&admitted.identity, filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let kafka_topics = self.rules.kafka_topics_of(filter.as_str());
        self.follow(&kafka_topics).await?;
        for kafka_topic in &kafka_topics {
            // What was acknowledged before this subscription is not for it.
            let seen = self.ingress.acknowledged().positions(kafka_topic);
            self.patiently(self.tail.reached(kafka_topic, &seen))
                .await?;
        }
        let is_new = self.egress.subscriptions.insert(
            filter,
            admitted.id,
            Subscriber {
                mailbox: Arc::clone(mailbox),
                client_id: admitted.identity.client_id.as_str().into(),
                options: subscription.options,
                subscription_id,
            },
        );
        if !is_new {
            self.release(&kafka_topics).await;
        }
        self.count_subscriptions();
        let wants_retained = match subscription.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            match self.retained(filter).await {
                Ok(found) => retained.extend(found.into_iter().map(|message| {
                    retained_delivery(message, subscription.options.qos, subscription_id)
                })),
                Err(reason) => {
                    self.unsubscribe(admitted.id, filter).await;
                    return Err(reason);
                }
            }
        }
        Ok(IsNew(is_new))
    }

    /// The retained messages of a filter, for a subscription that is in the tree already. A retained message is stored
    /// before its publish is, so whatever the subscriber has missed by coming now is acknowledged, and is found here
    /// once this node has caught up.
    async fn retained(&self, filter: &TopicFilter) -> Result<Vec<Arc<Message>>, ReasonCode> {
        let retained_topic = &self.egress.retained_topic;
        let seen = self.ingress.acknowledged().positions(retained_topic);
        self.patiently(self.tail.reached(retained_topic, &seen))
            .await?;
        Ok(self.egress.retained.matching(filter))
    }

    /// Ends one subscription; returns whether it was there.
    pub(crate) async fn unsubscribe(&self, id: ConnectionId, filter: &TopicFilter) -> bool {
        let was_there = self.egress.subscriptions.remove(filter, id);
        if was_there {
            self.release(&self.rules.kafka_topics_of(filter.as_str()))
                .await;
            self.count_subscriptions();
        }
        was_there
    }

    fn count_subscriptions(&self) {
        self.metrics
            .subscriptions
            .set(self.egress.subscriptions.len() as i64);
    }

    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, ReasonCode> {
        tokio::time::timeout(SUBSCRIBE_PATIENCE, work)
            .await
            .map_err(|_| ReasonCode::UNSPECIFIED_ERROR)
    }

    async fn follow(&self, kafka_topics: &[&str]) -> Result<(), ReasonCode> {
        // Only the waiting for others is given up; what has begun keeps its count right.
        let mut needed = self.patiently(self.needed.lock()).await?;
        for (at, kafka_topic) in kafka_topics.iter().enumerate() {
            if let Some(count) = needed.get_mut(*kafka_topic) {
                *count += 1;
                continue;
            }
            if let Err(error) = self.tail.follow(kafka_topic, Start::End).await {
                tracing::warn!(%error, kafka_topic, "can't follow");
                self.release_locked(&mut needed, &kafka_topics[..at]).await;
                return Err(ReasonCode::UNSPECIFIED_ERROR);
            }
            needed.insert((*kafka_topic).to_owned(), 1);
        }
        Ok(())
    }

    async fn release(&self, kafka_topics: &[&str]) {
        let mut needed = self.needed.lock().await;
        self.release_locked(&mut needed, kafka_topics).await;
    }

    async fn release_locked(&self, needed: &mut HashMap<String, usize>, kafka_topics: &[&str]) {
        for kafka_topic in kafka_topics {
            let Some(count) = needed.get_mut(*kafka_topic) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                needed.remove(*kafka_topic);
                if let Err(error) = self.tail.unfollow(kafka_topic).await {
                    tracing::warn!(%error, kafka_topic, "can't stop following");
                }
            }
        }
    }
}

/// Whether a subscription did not exist before.
pub(crate) struct IsNew(pub(crate) bool);
