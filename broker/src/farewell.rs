//! The end of a connection: what its session keeps is stored, its will is published or waits, and its client identifier
//! is let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt::ReasonCode;
use mqtt::packet::Publish;
use mqtt::session::Message;

use crate::client::{Client, End};
use crate::connection::{Connection, WRITE_TIMEOUT};
use crate::ledger::NewRecord;
use crate::mailbox;
use crate::session_record::SessionRecord;
use crate::sessions::Left;
use crate::share::Share;

impl Connection {
    pub(crate) async fn finish(&mut self) {
        let reason = self.closed.unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
        if let Some(violation) = self.session.violation() {
            let client_id = self.client.as_ref().map(|c| c.identity.client_id.as_str());
            tracing::info!(client_id, %violation, "connection closed");
        }
        // What comes from now on is not taken any more.
        self.mailbox.close(reason);
        if self.client.is_some() {
            self.settle().await;
        }
        if let Some(client) = self.client.take() {
            self.leave(*client).await;
            self.node
                .metrics
                .connected(self.transport.name(), self.session.version(), -1);
            self.node.metrics.disconnect(reason.text());
        }
        // The client may be gone already: then there is nobody to say goodbye to.
        let _gone = tokio::time::timeout(WRITE_TIMEOUT, self.transport.close()).await;
    }

    /// An identifier whose message Kafka has belongs to the state, also when the answer comes now.
    async fn settle(&mut self) {
        self.fulfil().await;
        self.save().await;
        while self.session.is_waiting() || self.stalled.is_some() || self.is_saving {
            self.mailbox.bell().await;
            self.take_events();
            self.fulfil().await;
            self.save().await;
        }
    }

    async fn leave(&mut self, mut client: Client) {
        let expiry_s = self.session.session_expiry_s();
        let will = self.will.take();
        // [MQTT-3.1.2-8], [MQTT-3.1.3-9] At once, or when its delay is over, or when the session is.
        let delay_s = will
            .as_ref()
            .and_then(|will| will.properties.will_delay_s)
            .unwrap_or(0);
        let waits = delay_s > 0 && expiry_s > 0;
        let (now, later) = if waits { (None, will) } else { (will, None) };
        let will_records =
            now.map_or_else(Vec::new, |will| self.will_records(&will.into_publish()));
        let for_others = self.take_for_others(&client).await;
        let record = (expiry_s > 0).then(|| {
            let end = End::now(later);
            client.record(
                &self.node,
                &self.session,
                &self.mailbox,
                &self.ready,
                &[],
                Some(&end),
            )
        });
        let left = record
            .as_ref()
            .map_or_else(Vec::new, |record| self.places(record));
        self.forget_subscriptions(&mut client, &left).await;
        for (share, message) in for_others {
            share.give_back(&message);
        }
        let client_id = Arc::clone(client.claim.client_id());
        let left_state = match &record {
            Some(record) => Left::State(record),
            None if client.claim.is_stored() => Left::Nothing,
            None => Left::AsItIs,
        };
        if let Err(error) = client.claim.release(left_state, will_records).await {
            tracing::error!(%error, %client_id, "can't store what a client left");
        }
    }

    /// A will as it is stored; nothing when it can't be, which is counted.
    pub(crate) fn will_records(&self, will: &Publish) -> Vec<NewRecord> {
        // The publisher is gone, so its name means nothing to No Local.
        self.node
            .ingress
            .records(will, "")
            .unwrap_or_else(|reason| {
                self.node.metrics.refused(reason.text());
                Vec::new()
            })
    }

    fn places(&self, record: &SessionRecord) -> Vec<(u32, i64)> {
        let mut places = Vec::new();
        for (kafka_topic, positions) in &record.positions {
            for (partition, position) in positions.iter().enumerate() {
                let log = self.node.logs.number(kafka_topic, partition as i32);
                places.extend(log.map(|log| (log, *position)));
            }
        }
        places
    }

    /// The messages of shared subscriptions that the client has not acknowledged, as far as there are others to get them.
    async fn take_for_others(&mut self, client: &Client) -> Vec<(Arc<Share>, Arc<Message>)> {
        let shares: BTreeMap<u32, Arc<Share>> = client
            .subscriptions
            .values()
            .filter_map(|made| made.share.as_ref())
            .filter(|share| share.has_others(client.id))
            .map(|share| (share.number, Arc::clone(share)))
            .collect();
        if shares.is_empty() {
            return Vec::new();
        }
        let given = |share| shares.contains_key(&share);
        let (numbers, places): (Vec<u32>, Vec<_>) = self
            .session
            .give_away(given)
            .into_iter()
            .map(|(share, origin)| (share, self.node.logs.place(origin)))
            .unzip();
        let records = self.node.lookup.read(places).await.unwrap_or_else(|error| {
            tracing::error!(%error, "messages of a shared subscription are lost");
            Vec::new()
        });
        let sent = numbers
            .into_iter()
            .zip(records)
            .filter_map(|(share, record)| Some((share, self.node.egress.message(&record?)?)));
        let mut taken: Vec<(u32, Arc<Message>)> = sent.collect();
        let waiting = mailbox::take_shared(&mut self.ready, given)
            .into_iter()
            .chain(self.mailbox.take_shared(given));
        taken.extend(waiting.map(|delivery| (delivery.share, delivery.message)));
        taken
            .into_iter()
            .map(|(share, message)| (Arc::clone(&shares[&share]), message))
            .collect()
    }
}
