//! From CONNECT to CONNACK: who the client is, whether its session goes on, and what of that is stored first.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kafka::NewRecord;
use mqtt::packet::{Connect, PacketId};
use mqtt::session::{Accepted, Resumed, Step, asked_expiry_s};
use mqtt::{QoS, ReasonCode};

use crate::auth::{Authenticated, Identity};
use crate::client::{Client, load_in_flight};
use crate::connection::Connection;
use crate::session_record::{SavedWill, SessionRecord};
use crate::sessions::{Claim, now_ms};

impl Connection {
    /// Decides on a CONNECT, or begins the exchange that does.
    pub(crate) async fn connect(&mut self, connect: Box<Connect>) {
        if connect.properties.auth_method.is_some() {
            let data = connect.properties.auth_data.clone().unwrap_or_default();
            return self.begin_exchange(Some(connect), data).await;
        }
        let (username, password) = (connect.username.as_deref(), connect.password.as_deref());
        match self.node.users.admit(username, password) {
            Ok(who) => self.admit(&connect, who, None).await,
            Err(reason) => self.refuse_connect(&connect, reason),
        }
    }

    /// Lets a client in that has shown who it is. `auth_data`: the last data of the method of enhanced authentication.
    pub(crate) async fn admit(
        &mut self,
        connect: &Connect,
        who: Authenticated,
        auth_data: Option<Bytes>,
    ) {
        let node = Arc::clone(&self.node);
        let entered = match self.identify(connect, who) {
            Ok(identity) => node
                .patiently(self.enter(connect, identity))
                .await
                .and_then(|entered| entered),
            Err(reason) => Err(reason),
        };
        match entered {
            Ok((client, accepted)) => {
                let accepted = Accepted {
                    auth_data,
                    ..accepted
                };
                self.session.handle_accepted(Instant::now(), accepted);
                node.metrics.connect("accepted");
                node.metrics
                    .connected(self.transport.name(), connect.version, 1);
                tracing::debug!(client_id = client.identity.client_id, "connected");
                self.client = Some(Box::new(client));
                self.ask_for_sweeps();
            }
            Err(reason) => self.refuse_connect(connect, reason),
        }
    }

    pub(crate) fn refuse_connect(&mut self, connect: &Connect, reason: ReasonCode) {
        self.node.metrics.connect(reason.text());
        tracing::info!(client_id = %connect.client_id, %reason, "connection refused");
        self.session.handle_refused(reason);
    }

    fn identify(&self, connect: &Connect, who: Authenticated) -> Result<Identity, ReasonCode> {
        let node = &self.node;
        let client_id = if connect.client_id.is_empty() {
            format!("auto-{:016x}", rand::random::<u64>())
        } else {
            connect.client_id.as_str().to_owned()
        };
        let identity = Identity::new(who, client_id);
        // Asked now, so that what is stored may be published by any node at any time.
        let may_leave_will = connect
            .will
            .as_ref()
            .is_none_or(|will| may_publish(node, &identity, will.topic.as_str()));
        if may_leave_will {
            Ok(identity)
        } else {
            Err(ReasonCode::NOT_AUTHORIZED)
        }
    }

    /// Takes over the client's session, or makes a new one; stores that the client is here if that has to be known after
    /// a crash.
    async fn enter(
        &mut self,
        connect: &Connect,
        identity: Identity,
    ) -> Result<(Client, Accepted), ReasonCode> {
        let node = Arc::clone(&self.node);
        let expiry_s = asked_expiry_s(connect).min(node.limits.session_expiry_max_s);
        // Nobody else knows an identifier that was made up here, unless the client learns it and comes back.
        let is_known_here_only = connect.client_id.is_empty() && expiry_s == 0;
        let claim = match is_known_here_only {
            true => Ok(node
                .sessions
                .claim_new(&identity.client_id, &self.mailbox)
                .await),
            false => {
                node.sessions
                    .claim(&identity.client_id, &self.mailbox)
                    .await
            }
        };
        let claim = claim
            .map_err(|error| {
                tracing::warn!(%error, client_id = identity.client_id, "can't claim a session");
                ReasonCode::SERVER_UNAVAILABLE
            })?
            .ok_or(ReasonCode::SESSION_TAKEN_OVER)?;
        let stored = claim.read().await.map_err(|error| {
            tracing::warn!(%error, client_id = identity.client_id, "can't read a session");
            ReasonCode::SERVER_UNAVAILABLE
        })?;
        let resumes = |session: &SessionRecord| {
            !connect.clean_start
                && session.expiry_s > 0
                && session.ends_ms().is_none_or(|ends_ms| ends_ms > now_ms())
        };
        let (resumed, ended) = match stored {
            Some(session) if resumes(&session) => (Some(session), None),
            other => (None, other),
        };
        let old = resumed.as_ref().or(ended.as_ref());
        let old_will = self.old_will(old, resumed.is_some(), claim.lost_ms());
        let mut client = Client::new(node.new_id(), identity, claim);
        let mut accepted = Accepted {
            assigned_client_id: connect
                .client_id
                .is_empty()
                .then(|| client.identity.client_id.clone()),
            session_expiry_s: expiry_s,
            response_information: node
                .settings
                .response_information
                .as_ref()
                .map(|text| text.replace("{client_id}", &client.identity.client_id)),
            ..Accepted::default()
        };
        let will = connect.will.as_ref().map(SavedWill::new);
        let mut record = SessionRecord {
            epoch: client.claim.epoch(),
            connected: true,
            expiry_s,
            will,
            ..SessionRecord::default()
        };
        if let Some(session) = resumed {
            accepted.resumed = Some(self.load(&session).await?);
            let restored = self.restore(&mut client, &session).await;
            if let Err(reason) = restored {
                self.forget_subscriptions(&mut client).await;
                return Err(reason);
            }
            record.subscriptions = session.subscriptions;
            record.positions = session.positions;
            record.in_flight = session.in_flight;
            record.received = session.received;
        }
        let result = self.store_arrival(&client.claim, &record, old_will).await;
        if let Err(reason) = result {
            self.forget_subscriptions(&mut client).await;
            return Err(reason);
        }
        Ok((client, accepted))
    }

    /// Stores a session that outlives its connection, or that leaves a will; removes what an earlier one left, and
    /// publishes its will, all at once.
    async fn store_arrival(
        &self,
        claim: &Claim,
        record: &SessionRecord,
        old_will: Vec<NewRecord>,
    ) -> Result<(), ReasonCode> {
        let result = if record.expiry_s > 0 || record.will.is_some() {
            claim.store(Some(record), old_will).await
        } else if claim.is_stored() {
            claim.store(None, old_will).await
        } else {
            Ok(())
        };
        result.map_err(|error| {
            tracing::warn!(%error, client_id = %claim.client_id(), "can't store a session");
            ReasonCode::SERVER_UNAVAILABLE
        })
    }

    /// The will of an earlier connection that is still to be published: not any more when its session goes on in time
    /// [MQTT-3.1.3-9], at once when that has ended, or nobody has published it when its time was. `lost_ms`: when the node
    /// was heard last, if it died with the connection.
    fn old_will(
        &self,
        old: Option<&SessionRecord>,
        goes_on: bool,
        lost_ms: Option<u64>,
    ) -> Vec<NewRecord> {
        let Some(will) = old.and_then(|session| session.will.as_ref()) else {
            return Vec::new();
        };
        if goes_on && !will.is_due(lost_ms, now_ms()) {
            return Vec::new();
        }
        match will.publish() {
            Ok(publish) => self.will_records(&publish),
            Err(error) => {
                tracing::error!(%error, "can't publish a will");
                Vec::new()
            }
        }
    }

    /// What was on its way to the client, with the messages to send again.
    async fn load(&self, session: &SessionRecord) -> Result<Resumed, ReasonCode> {
        let node = &self.node;
        let known: Vec<_> = session
            .in_flight
            .iter()
            .filter_map(|saved| load_in_flight(node, saved))
            .collect();
        let places = known
            .iter()
            .filter(|known| known.step != Step::Comp)
            .filter_map(|known| known.origin)
            .map(|origin| node.logs.place(origin))
            .collect();
        let records = node.lookup.read(places).await.map_err(|error| {
            tracing::warn!(%error, "can't read what was on its way to a client");
            ReasonCode::SERVER_UNAVAILABLE
        })?;
        let mut records = records.into_iter();
        let in_flight = known
            .into_iter()
            .map(|known| {
                let record = match known.step {
                    Step::Comp => None,
                    Step::Ack | Step::Rec => records.next().flatten(),
                };
                let message = record.and_then(|record| node.egress.message(&record));
                (known, message)
            })
            .collect();
        Ok(Resumed {
            received: session
                .received
                .iter()
                .filter_map(|id| PacketId::try_from(*id).ok())
                .collect(),
            in_flight,
        })
    }
}

/// Topics below `$SYS/` are the server's own.
pub(crate) fn may_publish(node: &crate::node::Node, who: &Identity, topic: &str) -> bool {
    !topic.starts_with("$SYS/") && node.acl.may_publish(who, topic)
}

/// The QoS that is granted, as SUBACK says it.
pub(crate) fn granted(qos: QoS) -> ReasonCode {
    ReasonCode(qos as u8)
}
