//! Subscriptions of one client: made, made again when its session goes on, and ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mqtt::packet::{PacketId, RetainHandling, Subscribe, Subscription};
use mqtt::session::{Delivery, Extra};
use mqtt::{ReasonCode, TopicFilter};

use crate::catch_up::Reader;
use crate::client::{Client, Made};
use crate::connection::Connection;
use crate::node::UNREAD;
use crate::record;
use crate::replay::{self, Replay};
use crate::rules::Source;
use crate::session_record::SessionRecord;
use crate::share::Share;
use crate::subscriptions::{Subscriber, retained_delivery};

/// Retained messages that wait for one client, beyond which it can't ask for more: a bound on memory, far above what a
/// client needs that takes what it gets. One filter's messages come whole.
const RETAINED_WAITING_MAX: usize = 100_000;

impl Connection {
    /// A SUBSCRIBE: each filter for itself. The answer leaves when the session that goes on without the client knows it.
    pub(crate) async fn subscribe(&mut self, subscribe: Subscribe) {
        let Some(mut client) = self.client.take() else {
            return;
        };
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut retained = VecDeque::new();
        for subscription in &subscribe.subscriptions {
            let made = self
                .subscribe_one(&mut client, subscription, &subscribe, &mut retained)
                .await;
            reasons.push(match made {
                Ok(()) => crate::admission::granted(subscription.options.qos),
                Err(reason) => {
                    self.node.metrics.refused(reason.text());
                    reason
                }
            });
        }
        client.subscriptions_changed(&self.node);
        self.client = Some(client);
        self.store_subscriptions().await;
        self.retained.append(&mut retained);
        self.session.handle_subscribed(subscribe.packet_id, reasons);
        self.ask_for_sweeps();
    }

    /// When this returns, every message that Kafka acknowledges from now on is delivered.
    async fn subscribe_one(
        &self,
        client: &mut Client,
        subscription: &Subscription,
        subscribe: &Subscribe,
        retained: &mut VecDeque<Delivery>,
    ) -> Result<(), ReasonCode> {
        let node = &self.node;
        let filter = &subscription.filter;
        let limits = &node.limits;
        let fits = filter.as_written().len() <= limits.topic_bytes_max
            && mqtt::topic::levels(filter.as_str()).count() <= limits.topic_levels_max;
        if !fits {
            return Err(ReasonCode::TOPIC_FILTER_INVALID);
        }
        let is_known = client.subscriptions.contains_key(filter);
        if !is_known && client.subscriptions.len() >= node.settings.subscriptions_max {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let waiting = self.retained.len() + retained.len();
        let asks_for_more = subscription.options.retain_handling != RetainHandling::DoNotSend;
        if asks_for_more && waiting >= RETAINED_WAITING_MAX {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        if !node.acl.may_subscribe(&client.identity, filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let user = &subscribe.properties.user;
        let property = |wanted: &str| {
            let found = user.iter().find(|(name, _)| name.as_str() == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let shows_source = property(record::METADATA) == Some("true");
        let id = subscribe.properties.subscription_ids.first().copied();
        let sources = node.rules.sources_of(filter.as_str());
        let subscriber = Subscriber {
            mailbox: Arc::clone(&self.mailbox),
            client_id: Arc::clone(client.claim.client_id()),
            options: subscription.options,
            subscription_id: id,
            shows_source,
            replay: None,
        };
        let from = property(replay::FROM);
        if filter.share_group().is_some() {
            if from.is_some() {
                return Err(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
            }
            let share = self.join(client, filter, subscriber).await?;
            let made = Made::new(subscription, id, shows_source, None, Some(share));
            client.subscriptions.insert(filter.clone(), made);
            return Ok(());
        }
        node.follow(&sources).await?;
        let replay = match from {
            None => None,
            Some(from) => match self.start_replay(client, filter, from, &sources).await {
                Ok(replay) => Some(Arc::new(replay)),
                Err(reason) => {
                    node.release(&sources).await;
                    return Err(reason);
                }
            },
        };
        if replay.is_none() {
            for source in &sources {
                // What was acknowledged before this subscription is not for it.
                if let Err(reason) = node.reach_end(source.kafka_topic).await {
                    node.release(&sources).await;
                    return Err(reason);
                }
            }
        }
        let subscriber = Subscriber {
            replay: replay.clone(),
            ..subscriber
        };
        let is_new = node
            .egress
            .subscriptions
            .insert(filter, client.id, subscriber);
        if !is_new {
            node.release(&sources).await;
        }
        node.count_subscriptions();
        let has_history = replay.is_some();
        let made = Made::new(subscription, id, shows_source, replay, None);
        client.subscriptions.insert(filter.clone(), made);
        let wants_retained = !has_history
            && match subscription.options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
        if wants_retained {
            match node.retained(filter).await {
                Ok(found) => retained.extend(found.into_iter().map(|message| {
                    let extra = shows_source.then(|| self.source_of(&message)).flatten();
                    retained_delivery(message, subscription.options.qos, id, extra)
                })),
                Err(reason) => {
                    self.unsubscribe_one(client, filter).await;
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    /// Makes the client a member of a shared subscription.
    async fn join(
        &self,
        client: &Client,
        filter: &TopicFilter,
        subscriber: Subscriber,
    ) -> Result<Arc<Share>, ReasonCode> {
        let node = &self.node;
        let kafka_topics = node.rules.kafka_topics_of(filter.as_str());
        let joined = node
            .shares
            .join(filter, &kafka_topics, &node.egress, client.id, subscriber);
        let share = node.patiently(joined).await??;
        node.count_subscriptions();
        Ok(share)
    }

    fn source_of(&self, message: &mqtt::session::Message) -> Option<Extra> {
        let origin = message.origin?;
        let (kafka_topic, partition) = self.node.logs.name(origin.log);
        Some(record::source(
            kafka_topic,
            partition,
            origin.offset,
            message.timestamp_ms,
        ))
    }

    /// Finds where history starts in each partition.
    async fn start_replay(
        &self,
        client: &Client,
        filter: &TopicFilter,
        from: &str,
        sources: &[Source<'_>],
    ) -> Result<Replay, ReasonCode> {
        let node = &self.node;
        if !node.acl.may_replay(&client.identity, filter) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let from = replay::From::parse(from, SystemTime::now())
            .ok_or(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR)?;
        let mut starts = Vec::new();
        for source in sources {
            let kafka_topic = source.kafka_topic;
            let positions = match from {
                replay::From::Time(ms) => {
                    node.ends
                        .since(kafka_topic, ms, crate::node::PATIENCE)
                        .await
                }
                replay::From::Earliest | replay::From::Offset(_) => node
                    .ends
                    .of(kafka_topic, crate::node::PATIENCE)
                    .await
                    .map(|all| {
                        all.into_iter()
                            .map(|bounds| kafka::Position {
                                partition: bounds.partition,
                                offset: match from {
                                    replay::From::Offset(offset) => offset,
                                    _ => bounds.first,
                                }
                                .clamp(bounds.first, bounds.end),
                            })
                            .collect()
                    }),
            };
            let positions = positions.map_err(|error| {
                tracing::warn!(%error, kafka_topic, "can't find where history starts");
                ReasonCode::UNSPECIFIED_ERROR
            })?;
            let needed = source.partitions(positions.len());
            let is_needed = |at: &kafka::Position| needed.contains(&(at.partition as usize));
            for position in positions.into_iter().filter(is_needed) {
                let log = node.logs.number(kafka_topic, position.partition);
                starts.extend(log.map(|log| (log, position.offset)));
            }
        }
        Ok(Replay::new(Arc::clone(&self.mailbox), starts))
    }

    /// Makes the subscriptions of an earlier connection again, and puts the session where that had left the log.
    pub(crate) async fn restore(
        &self,
        client: &mut Client,
        session: &SessionRecord,
    ) -> Result<(), ReasonCode> {
        let node = &self.node;
        for saved in &session.subscriptions {
            let subscription = match saved.subscription() {
                Ok(subscription) => subscription,
                Err(error) => {
                    tracing::error!(%error, "a stored subscription is not valid");
                    continue;
                }
            };
            let filter = &subscription.filter;
            // Rights may have been taken away while the client was gone.
            if !node.acl.may_subscribe(&client.identity, filter) {
                node.metrics.refused(ReasonCode::NOT_AUTHORIZED.text());
                continue;
            }
            let subscriber = Subscriber {
                mailbox: Arc::clone(&self.mailbox),
                client_id: Arc::clone(client.claim.client_id()),
                options: subscription.options,
                subscription_id: saved.id,
                shows_source: saved.shows_source,
                replay: None,
            };
            let share = if filter.share_group().is_some() {
                Some(self.join(client, filter, subscriber).await?)
            } else {
                let sources = node.rules.sources_of(filter.as_str());
                node.follow(&sources).await?;
                // Behind before it is in the tree: so the tail gives it nothing that a sweep has to bring.
                for (log, next) in self.starts(session, &sources) {
                    self.mailbox.leave_tail(log, next);
                }
                node.egress
                    .subscriptions
                    .insert(filter, client.id, subscriber);
                None
            };
            let made = Made::new(&subscription, saved.id, saved.shows_source, None, share);
            client.subscriptions.insert(filter.clone(), made);
        }
        node.count_subscriptions();
        // Who has missed nothing needs no sweep.
        client.subscriptions_changed(node);
        for kafka_topic in client.kafka_topics() {
            node.tail.progress(kafka_topic, |all| {
                for (partition, tail) in all.iter().enumerate() {
                    let log = node.logs.number(kafka_topic, partition as i32);
                    if let (Some(log), Some(tail)) = (log, tail) {
                        self.mailbox.stay_if_current(log, tail);
                    }
                }
            });
        }
        Ok(())
    }

    /// Where a session was in each partition that a filter needs. A partition that it does not know came later: all of it
    /// was missed. A Kafka topic that it does not know came with other rules: it is read from now on, and so is a partition
    /// that it did not read.
    fn starts(&self, session: &SessionRecord, sources: &[Source<'_>]) -> Vec<(u32, i64)> {
        let mut starts = Vec::new();
        for source in sources {
            let kafka_topic = source.kafka_topic;
            let Some(positions) = session.positions.get(kafka_topic) else {
                continue;
            };
            let partitions = self.node.tail.progress(kafka_topic, <[_]>::len);
            for partition in source.partitions(partitions.unwrap_or(0)) {
                let next = positions.get(partition).copied().unwrap_or(0);
                if let Some(log) = self.node.logs.number(kafka_topic, partition as i32)
                    && next != UNREAD
                {
                    starts.push((log, next));
                }
            }
        }
        starts
    }

    /// An UNSUBSCRIBE.
    pub(crate) async fn unsubscribe(&mut self, packet_id: PacketId, filters: &[TopicFilter]) {
        let Some(mut client) = self.client.take() else {
            return;
        };
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            let was_there = self.unsubscribe_one(&mut client, filter).await;
            reasons.push(match was_there {
                true => ReasonCode::SUCCESS,
                false => ReasonCode::NO_SUBSCRIPTION_EXISTED,
            });
        }
        client.subscriptions_changed(&self.node);
        self.client = Some(client);
        self.store_subscriptions().await;
        self.session.handle_unsubscribed(packet_id, reasons);
    }

    /// Ends one subscription; returns whether it was there.
    async fn unsubscribe_one(&self, client: &mut Client, filter: &TopicFilter) -> bool {
        let Some(made) = client.subscriptions.remove(filter) else {
            return false;
        };
        match &made.share {
            Some(share) => {
                if let Some(leaving) = self.node.shares.leave(share, client.id) {
                    // The client need not wait for that, the node does when it is taken down.
                    self.tasks.spawn_blocking(move || leaving.finish());
                }
            }
            None => {
                let sources = self.node.rules.sources_of(filter.as_str());
                self.node.egress.subscriptions.remove(filter, client.id);
                self.node.release(&sources).await;
            }
        }
        self.node.count_subscriptions();
        true
    }

    /// Ends all subscriptions of a client whose connection is over.
    pub(crate) async fn forget_subscriptions(&self, client: &mut Client) {
        let filters: Vec<TopicFilter> = client.subscriptions.keys().cloned().collect();
        for filter in &filters {
            self.unsubscribe_one(client, filter).await;
        }
    }

    /// A session that outlives its connection is stored with what has changed before the client is told.
    async fn store_subscriptions(&mut self) {
        if self.session.session_expiry_s() == 0 {
            return;
        }
        // What is on its way to Kafka has identifiers that this state would not know of.
        while self.is_saving() {
            self.mailbox.bell().await;
            self.take_events();
        }
        let Some(client) = &self.client else {
            return;
        };
        let record = client.record(
            &self.node,
            &self.session,
            &self.mailbox,
            &self.ready,
            &[],
            None,
        );
        self.last_saved = Instant::now();
        if let Err(error) = client.claim.store(Some(&record), Vec::new()).await {
            tracing::warn!(%error, client_id = %client.claim.client_id(), "can't store a session");
            self.session.close(ReasonCode::UNSPECIFIED_ERROR);
        }
    }

    /// Asks for the records that the client is behind with, as far as there is room for them.
    pub(crate) fn ask_for_sweeps(&self) {
        let Some(client) = &self.client else {
            return;
        };
        let catch_up = &self.node.catch_up;
        if self.mailbox.is_behind() {
            let wanted = self.mailbox.ask();
            catch_up.ask(&Reader::Session(Arc::clone(&self.mailbox)), wanted);
            catch_up.made_room();
        }
        for made in client.subscriptions.values() {
            if let Some(replay) = made.replay.as_ref().filter(|replay| !replay.is_over()) {
                if self.mailbox.has_half_room() {
                    catch_up.ask(&Reader::Replay(Arc::clone(replay)), replay.ask());
                }
                catch_up.made_room();
            }
            if let Some(share) = made.share.as_ref().filter(|share| share.is_full())
                && self.mailbox.has_half_room()
            {
                share.made_room();
            }
        }
    }
}
