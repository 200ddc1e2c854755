//! The end of a connection: what its session keeps is stored, its will is published or waits, and its client identifier
//! is let go.

use std::sync::Arc;

use kafka::NewRecord;
use mqtt::ReasonCode;
use mqtt::packet::Publish;
use mqtt::session::{Message, Origin};

use crate::client::{Client, End};
use crate::connection::{Connection, WRITE_TIMEOUT};
use crate::mailbox;
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
        while self.session.is_waiting() || self.stalled.is_some() || self.is_saving() {
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
        let for_others = self.take_for_others();
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
        self.forget_subscriptions(&mut client).await;
        self.give_to_others(for_others).await;
        let client_id = Arc::clone(client.claim.client_id());
        let left_state = match &record {
            Some(record) => Left::State(record),
            None if client.claim.is_stored() => Left::Nothing,
            None => Left::AsItIs,
        };
        match client.claim.release(left_state, will_records).await {
            // What the client has begun to get at QoS 2 is its own, and ends with its session [MQTT-4.8.2-5].
            Ok(()) => {
                for known in self.session.saved(&[]).in_flight {
                    self.node.shares.finish(known.share, known.origin);
                }
            }
            Err(error) => {
                tracing::error!(%error, %client_id, "can't store what a client left");
            }
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

    /// The messages of shared subscriptions that the client has not acknowledged.
    fn take_for_others(&mut self) -> Vec<ForOthers> {
        self.finish_shared();
        let shares = &self.node.shares;
        let sent = self.session.give_away().into_iter();
        let sent = sent.map(|(assignment, origin)| (assignment, origin, None));
        let waiting = mailbox::take_shared(&mut self.ready, |_| true)
            .into_iter()
            .chain(self.mailbox.take_shared(|_| true));
        let waiting = waiting.filter_map(|delivery| {
            let origin = delivery.message.origin?;
            Some((delivery.share, origin, Some(delivery.message)))
        });
        sent.chain(waiting)
            .filter_map(|(assignment, origin, message)| {
                Some(ForOthers {
                    share: shares.take_back(assignment, origin)?,
                    assignment,
                    origin,
                    message,
                })
            })
            .collect()
    }

    /// Gives others on this node what the client had. Where there are none, the node has left the group: then it stays
    /// unfinished, and other nodes get it.
    async fn give_to_others(&self, mut taken: Vec<ForOthers>) {
        taken.retain(|taken| taken.share.has_members());
        let sent = taken.iter().filter(|taken| taken.message.is_none());
        let places = sent
            .map(|taken| self.node.logs.place(taken.origin))
            .collect();
        let mut records = match self.node.lookup.read(places).await {
            Ok(records) => records.into_iter(),
            Err(error) => {
                tracing::error!(%error, "messages of a shared subscription wait until their partition moves");
                return;
            }
        };
        for taken in taken {
            let read = || self.node.egress.message(&records.next().flatten()?);
            match taken.message.or_else(read) {
                Some(message) => taken.share.give_back(&message, taken.assignment),
                // It has expired, or the log has it no more.
                None => self
                    .node
                    .shares
                    .finish(taken.assignment, Some(taken.origin)),
            }
        }
    }
}

/// A message of a shared subscription that a client had when it went.
struct ForOthers {
    share: Arc<Share>,
    assignment: u32,
    origin: Origin,
    /// `None` for one that was sent: it has to be read again.
    message: Option<Arc<Message>>,
}
