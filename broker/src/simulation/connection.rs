//! The server's end of a connection, with the real session. As `connection`, `admission`, `subscribing` and `farewell`
//! do, where one cursor for each partition stands for the mailbox and its sweeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka::Record;
use mqtt::packet::{Connect, Publish, Subscribe, Will};
use mqtt::session::{
    Accepted, Delivery, InFlight, Limits, Message, Origin, Output, Resumed, Session, Step, Token,
    asked_expiry_s,
};
use mqtt::{PacketId, QoS, ReasonCode, TopicFilter, TopicName};

use super::claims::{Claim, Left, OnStored, message};
use super::log::{MESSAGE_TOPIC, PARTITIONS, SESSION_PARTITIONS, ToAppend};
use super::world::{Answer, Here, Request, Sabotage, Then, World};
use crate::connection::Saving;
use crate::session_record::{SavedInFlight, SavedSubscription, SavedWill, SessionRecord};

/// How long a connection waits for Kafka; then it is refused.
const PATIENCE_MS: u64 = 4000;
/// How often a session that gets messages is stored.
const CHECKPOINT_MS: u64 = 1500;
const MESSAGE_PARTITIONS: usize = PARTITIONS - SESSION_PARTITIONS;
/// Records that are looked at in one turn of a connection.
const TURN_MAX: i64 = 10;

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        packet_bytes_max: 1 << 16,
        connect_bytes_max: 1 << 16,
        receive_maximum: 8,
        in_flight_max: 5,
        topic_alias_maximum: 0,
        client_alias_maximum: 0,
        keep_alive_max_s: 0,
        session_expiry_max_s: u32::MAX,
        connect_timeout: Duration::from_secs(10),
        client_id_bytes_max: 100,
        topic_bytes_max: 100,
        topic_levels_max: 10,
        validates_payload_format: false,
    })
}

struct Client {
    claim: Claim,
    subscriptions: BTreeMap<String, SavedSubscription>,
    /// The next offset that the session wants, by partition of the message topic.
    next: [i64; MESSAGE_PARTITIONS],
}

/// A QoS 2 message that is stored with the state that holds its packet identifier.
struct Together {
    token: Token,
    record: ToAppend,
}

struct Driver {
    here: Here,
    id: u64,
    session: Session,
    buffer: BytesMut,
    client: Option<Client>,
    together: Vec<Together>,
    /// The revision and the messages of a state that is on its way to Kafka.
    saving: Option<Saving>,
    last_saved: u64,
    sent_since_saved: u64,
    /// The node is polled then.
    armed: u64,
    closed: Option<ReasonCode>,
    will: Option<Box<Will>>,
}

/// Serves a client until the connection ends.
pub(super) async fn serve(here: Here, id: u64) {
    let instant = here.with(|world| world.instant());
    let mut driver = Driver {
        session: Session::new(limits(), instant),
        here: here.clone(),
        id,
        buffer: BytesMut::new(),
        client: None,
        together: Vec::new(),
        saving: None,
        last_saved: here.now(),
        sent_since_saved: 0,
        armed: 0,
        closed: None,
        will: None,
    };
    driver.run().await;
    driver.finish().await;
    here.node(|node| node.connections -= 1);
}

impl Driver {
    async fn run(&mut self) {
        while self.closed.is_none() {
            self.take_events();
            self.read_buffered();
            self.fulfil().await;
            self.deliver();
            self.save();
            self.send();
            let is_held_back = !self.buffer.is_empty() && self.session.wants_input();
            if self.closed.is_none() && !(is_held_back && self.take_whole_packet()) {
                self.wait().await;
                if !self.here.with(|w| w.nodes[self.here.node].is_sure(w.now)) {
                    // This process slept: another node may serve the client by now.
                    let node = self.here.node;
                    let sure = |w: &mut World| w.nodes[node].is_sure(w.now).then_some(());
                    self.here.until(sure).await;
                }
            }
        }
    }

    /// Packets that came with one that had to be decided on first; what is left of a part of one waits for the rest.
    fn take_whole_packet(&mut self) -> bool {
        let before = self.buffer.len();
        self.read_buffered();
        self.buffer.len() < before
    }

    fn take_events(&mut self) {
        let (appended, saved, close) = self.here.with(|world| {
            let mailbox = world.network.get(self.id);
            let appended = std::mem::take(&mut mailbox.appended);
            (appended, mailbox.saved.take(), mailbox.close)
        });
        for (token, result) in appended {
            self.session.handle_appended(token, result);
        }
        if let Some(result) = saved {
            self.handle_saved(result);
        }
        if let Some(reason) = close {
            self.session.close(reason);
        }
    }

    fn read_buffered(&mut self) {
        let instant = self.here.with(|world| world.instant());
        if self.session.wants_input() {
            self.session.handle_bytes(instant, &mut self.buffer);
        }
    }

    async fn fulfil(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Connect(connect) => self.connect(&connect).await,
                Output::Append { token, publish } => self.append(token, &publish),
                Output::Subscribe(subscribe) => self.subscribe(&subscribe).await,
                Output::Close { reason, will } => {
                    self.closed = Some(reason);
                    self.will = will;
                }
                other => unreachable!("no client of the simulation asks for this: {other:?}"),
            }
        }
    }

    async fn connect(&mut self, connect: &Connect) {
        let here = self.here.clone();
        let entered = here.within(PATIENCE_MS, self.enter(connect)).await;
        match entered.unwrap_or(Err(ReasonCode::SERVER_UNAVAILABLE)) {
            Ok((client, accepted)) => {
                let what = (connect.client_id.as_str().to_owned(), client.claim.epoch());
                here.with(|w| w.trace(|| format!("n{} admits {what:?}", here.node)));
                let instant = here.with(|world| world.instant());
                self.session.handle_accepted(instant, accepted);
                self.client = Some(client);
            }
            Err(reason) => self.session.handle_refused(reason),
        }
    }

    /// Takes over the client's session, or makes a new one; stores that the client is here.
    async fn enter(&self, connect: &Connect) -> Result<(Client, Accepted), ReasonCode> {
        let here = &self.here;
        let claim = Claim::by_connection(here, connect.client_id.as_str(), self.id).await;
        let claim = claim.ok_or(ReasonCode::SESSION_TAKEN_OVER)?;
        let stored = claim.read().await;
        let now_ms = here.with(|world| world.unix_ms());
        let goes_on = |session: &SessionRecord| {
            session.expiry_s > 0 && session.ends_ms().is_none_or(|ends_ms| ends_ms > now_ms)
        };
        let (resumed, ended) = match stored {
            Some(session) if goes_on(&session) => (Some(session), None),
            other => (None, other),
        };
        let old = resumed.as_ref().or(ended.as_ref());
        let old_will = old_will(old, resumed.is_some(), claim.lost_ms(), now_ms);
        let expiry_s = asked_expiry_s(connect);
        let mut accepted = Accepted {
            session_expiry_s: expiry_s,
            ..Accepted::default()
        };
        let mut record = SessionRecord {
            epoch: claim.epoch(),
            connected: true,
            expiry_s,
            will: connect.will.as_ref().map(SavedWill::new),
            ..SessionRecord::default()
        };
        let mut client = Client {
            claim,
            subscriptions: BTreeMap::new(),
            next: [0; MESSAGE_PARTITIONS],
        };
        if let Some(session) = resumed {
            accepted.resumed = Some(self.load(&session).await);
            for saved in &session.subscriptions {
                let filter = saved.filter.clone();
                client.subscriptions.insert(filter, saved.clone());
            }
            if let Some(positions) = session.positions.get(MESSAGE_TOPIC) {
                client.next.copy_from_slice(positions);
            }
            record.subscriptions = session.subscriptions;
            record.positions = session.positions;
            record.in_flight = session.in_flight;
            record.received = session.received;
        }
        let is_kept = record.expiry_s > 0 || record.will.is_some();
        let is_stored = match is_kept {
            true => {
                let left = Left::State(Box::new(record));
                client.claim.store(left, old_will).await
            }
            false if client.claim.is_stored() => client.claim.store(Left::Nothing, old_will).await,
            false => true,
        };
        match is_stored {
            true => Ok((client, accepted)),
            false => Err(ReasonCode::SERVER_UNAVAILABLE),
        }
    }

    /// What was on its way to the client, with the messages to send again.
    async fn load(&self, session: &SessionRecord) -> Resumed {
        let mut in_flight = Vec::new();
        for saved in &session.in_flight {
            let known = load_in_flight(saved);
            let found = match known.step {
                Step::Comp => None,
                Step::Ack | Step::Rec => {
                    let partition = SESSION_PARTITIONS + saved.partition as usize;
                    let request = Request::LookUp(partition, saved.offset);
                    match self.here.ask(request).await {
                        Answer::Record(found) => found,
                        other => unreachable!("not an answer to this: {other:?}"),
                    }
                }
            };
            in_flight.push((known, found.as_ref().map(message_of)));
        }
        let ids = session.received.iter();
        Resumed {
            received: ids.filter_map(|id| PacketId::try_from(*id).ok()).collect(),
            in_flight,
        }
    }

    async fn subscribe(&mut self, subscribe: &Subscribe) {
        // What was acknowledged before this subscription is not for it.
        let Answer::Ends(ends) = self.here.ask(Request::Ends).await else {
            unreachable!("it answers what was asked");
        };
        let (node, is_gone) = (self.here.node, self.client.is_none());
        let reached = |world: &mut World| {
            let tails = &world.nodes[node].tails;
            let has_all = (SESSION_PARTITIONS..PARTITIONS).all(|p| tails[p].next >= ends[p]);
            (has_all || is_gone).then(|| tails.map(|tail| tail.next))
        };
        let tails = self.here.until(reached).await;
        let Some(client) = &mut self.client else {
            return;
        };
        if client.subscriptions.is_empty() {
            client.next.copy_from_slice(&tails[SESSION_PARTITIONS..]);
        }
        let mut reasons = Vec::new();
        for subscription in &subscribe.subscriptions {
            let saved = SavedSubscription::new(subscription, None, false);
            client.subscriptions.insert(saved.filter.clone(), saved);
            reasons.push(ReasonCode(subscription.options.qos as u8));
        }
        // What is on its way to Kafka has identifiers that this state would not know of.
        while self.saving.is_some() {
            let id = self.id;
            let has_saved = move |w: &mut World| w.network.get(id).saved.is_some().then_some(());
            self.here.until(has_saved).await;
            self.take_events();
        }
        let record = self.record(&[], None);
        self.last_saved = self.here.now();
        let Some(client) = &self.client else {
            return;
        };
        if !client
            .claim
            .store(Left::State(Box::new(record)), Vec::new())
            .await
        {
            self.session.close(ReasonCode::UNSPECIFIED_ERROR);
        }
        self.session.handle_subscribed(subscribe.packet_id, reasons);
    }

    /// The session's record as it is now. `end`: when the connection ended, with the will that waits.
    fn record(&self, with: &[Token], end: Option<(u64, Option<&Will>)>) -> SessionRecord {
        let client = self.client.as_ref().expect("only who was let in is stored");
        let saved = self.session.saved(with);
        let will = match end {
            None => self.session.will().map(SavedWill::new),
            Some((left_ms, will)) => will.map(|will| {
                let mut saved = SavedWill::new(will);
                saved.due_ms = Some(left_ms + u64::from(saved.delay_s) * 1000);
                saved
            }),
        };
        let positions = (!client.subscriptions.is_empty())
            .then(|| (MESSAGE_TOPIC.to_owned(), client.next.to_vec()));
        SessionRecord {
            epoch: client.claim.epoch(),
            connected: end.is_none(),
            left_ms: end.map_or(0, |(left_ms, _)| left_ms),
            expiry_s: self.session.session_expiry_s(),
            subscriptions: client.subscriptions.values().cloned().collect(),
            positions: positions.into_iter().collect(),
            in_flight: saved.in_flight.iter().filter_map(save_in_flight).collect(),
            received: saved.received.iter().map(|id| id.get()).collect(),
            will,
        }
    }

    fn append(&mut self, token: Option<Token>, publish: &Publish) {
        let (Some(topic), Some(token)) = (&publish.topic, token) else {
            return;
        };
        let record = message(topic.as_str(), &publish.payload, publish.qos);
        let stores_apart = self.here.with(|w| w.sabotage) == Sabotage::StoresApart;
        if publish.qos == QoS::ExactlyOnce && self.session.is_durable() && !stores_apart {
            self.together.push(Together { token, record });
            return;
        }
        let id = self.id;
        let then: Then = Box::new(move |world, _| {
            world.network.get(id).appended.push((token, Ok(())));
        });
        self.here
            .with(|world| world.ask_then(self.here.node, Request::Append(record), then));
    }

    fn handle_saved(&mut self, result: Result<(), ReasonCode>) {
        if let Some(saving) = self.saving.take() {
            saving.answered(&mut self.session, result);
        }
    }

    /// Gives the session what the node has read and it has not got.
    fn deliver(&mut self) {
        let here = self.here.clone();
        for partition in 0..MESSAGE_PARTITIONS {
            let Some(client) = &mut self.client else {
                return;
            };
            let next = &mut client.next[partition];
            let (instant, records, to) = here.with(|world| {
                let in_log = SESSION_PARTITIONS + partition;
                let to = world.nodes[here.node].tails[in_log]
                    .next
                    .min(*next + TURN_MAX);
                let to = to.max(*next);
                (world.instant(), world.log.read(in_log, *next, to), to)
            });
            if !self.session.is_up() || client.subscriptions.is_empty() {
                return;
            }
            let mut is_full = false;
            for record in records {
                let wanted = wanted_qos(&client.subscriptions, &record);
                if let Some(qos) = wanted {
                    if self.session.delivery_room() == 0 {
                        *next = record.offset;
                        is_full = true;
                        break;
                    }
                    let delivery = Delivery {
                        message: message_of(&record),
                        qos,
                        retain: false,
                        subscription_ids: Vec::new(),
                        extra: None,
                        share: 0,
                    };
                    self.sent_since_saved += 1;
                    self.session.handle_delivery(instant, &delivery);
                }
            }
            if !is_full {
                *next = to;
            }
        }
    }

    fn checkpoint_due(&self) -> Option<u64> {
        let counts = self.sent_since_saved > 0 && self.session.session_expiry_s() > 0;
        counts.then(|| self.last_saved + CHECKPOINT_MS)
    }

    /// Stores the session's state when packets wait for that, and now and then.
    fn save(&mut self) {
        let wanted = self.session.wants_saving();
        let now = self.here.now();
        let is_due = self.checkpoint_due().is_some_and(|due| now >= due);
        let has_to = wanted.is_some() || is_due || !self.together.is_empty();
        if self.saving.is_some() || !has_to {
            return;
        }
        let together = std::mem::take(&mut self.together);
        let tokens: Vec<Token> = together.iter().map(|one| one.token).collect();
        let records = together.into_iter().map(|one| one.record).collect();
        if self.client.is_none() {
            return;
        }
        let record = self.record(&tokens, None);
        let revision = wanted.unwrap_or(0);
        self.saving = Some(Saving { revision, tokens });
        self.last_saved = now;
        self.sent_since_saved = 0;
        let id = self.id;
        let then: OnStored = Box::new(move |world, is_stored| {
            let result = is_stored.then_some(()).ok_or(ReasonCode::UNSPECIFIED_ERROR);
            world.network.get(id).saved = Some(result);
        });
        let left = Left::State(Box::new(record));
        if let Some(client) = &self.client {
            client.claim.store_then(Some(left), records, false, then);
        }
    }

    fn send(&mut self) {
        if !self.session.transmit().is_empty() {
            let bytes = self.session.transmit().split().to_vec();
            self.here
                .with(|world| world.send_to_client(self.id, Some(bytes)));
        }
    }

    async fn wait(&mut self) {
        let silence = self.session.poll_timeout();
        let silence = silence.map(|at| self.here.with(|world| world.at(at)));
        let checkpoint = self.checkpoint_due().filter(|_| self.saving.is_none());
        let deadline = [silence, checkpoint].into_iter().flatten().min();
        if let Some(deadline) = deadline
            && (deadline < self.armed || self.armed <= self.here.now())
        {
            self.armed = deadline;
            self.here.wake_at(deadline);
        }
        let (node, id) = (self.here.node, self.id);
        let wants_input = self.session.wants_input();
        let has_room = self.session.is_up() && self.session.delivery_room() > 0;
        let next = self.client.as_ref().filter(|c| !c.subscriptions.is_empty());
        let next = next.map(|client| client.next).filter(|_| has_room);
        let buffer = &mut self.buffer;
        let is_over = self
            .here
            .until(|world| {
                let now = world.now;
                let tails = world.nodes[node].tails;
                let behind = |next: &[i64]| {
                    let tails = &tails[SESSION_PARTITIONS..];
                    next.iter().zip(tails).any(|(next, tail)| *next < tail.next)
                };
                let mailbox = world.network.get(id);
                if wants_input && !mailbox.inbox.is_empty() {
                    buffer.unsplit(mailbox.inbox.split());
                    return Some(false);
                }
                let has_news = !mailbox.appended.is_empty()
                    || mailbox.saved.is_some()
                    || mailbox.close.is_some()
                    || next.as_ref().is_some_and(|next| behind(next))
                    || deadline.is_some_and(|deadline| now >= deadline);
                let is_over = wants_input && mailbox.is_over;
                (has_news || is_over).then_some(is_over && !has_news)
            })
            .await;
        if is_over {
            self.session.handle_disconnected();
        }
        let instant = self.here.with(|world| world.instant());
        self.session.handle_timeout(instant);
    }

    /// What the session keeps is stored, its will is published or waits, and its client identifier is let go.
    async fn finish(&mut self) {
        let reason = self.closed.unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
        self.here
            .with(|world| world.close_connection(self.id, reason));
        if self.client.is_some() {
            self.settle().await;
        }
        if let Some(client) = self.client.take() {
            self.leave(client).await;
        }
        self.here.with(|world| world.send_to_client(self.id, None));
    }

    /// An identifier whose message Kafka has belongs to the state, also when the answer comes now.
    async fn settle(&mut self) {
        self.fulfil().await;
        self.save();
        while self.session.is_waiting() || self.saving.is_some() {
            let id = self.id;
            self.here
                .until(move |world| {
                    let mailbox = world.network.get(id);
                    (mailbox.saved.is_some() || !mailbox.appended.is_empty()).then_some(())
                })
                .await;
            self.take_events();
            self.fulfil().await;
            self.save();
        }
    }

    async fn leave(&mut self, client: Client) {
        let expiry_s = self.session.session_expiry_s();
        let will = self.will.take();
        let delay_s = will.as_ref().and_then(|w| w.properties.will_delay_s);
        let waits = delay_s.unwrap_or(0) > 0 && expiry_s > 0;
        let (now, later) = if waits { (None, will) } else { (will, None) };
        let will_records = now.map(|will| message(will.topic.as_str(), &will.payload, will.qos));
        let left_ms = self.here.with(|world| world.unix_ms());
        let is_stored = client.claim.is_stored();
        self.client = Some(client);
        let record = (expiry_s > 0).then(|| self.record(&[], Some((left_ms, later.as_deref()))));
        let left = match record {
            Some(record) => Some(Left::State(Box::new(record))),
            None => is_stored.then_some(Left::Nothing),
        };
        if let Some(client) = self.client.take() {
            let records = will_records.into_iter().collect();
            client.claim.release(left, records).await;
        }
    }
}

/// The will of an earlier connection that is still to be published. `lost_ms`: when its node was heard last, if it died
/// with it.
fn old_will(
    old: Option<&SessionRecord>,
    goes_on: bool,
    lost_ms: Option<u64>,
    now_ms: u64,
) -> Vec<ToAppend> {
    let will = old.and_then(|session| session.will.as_ref());
    let will = will.filter(|will| !goes_on || will.is_due(lost_ms, now_ms));
    let publish = will.and_then(|will| will.publish().ok());
    let publish = publish.into_iter();
    let record = |will: Publish| {
        let topic = will.topic.as_ref().map_or("", TopicName::as_str);
        message(topic, &will.payload, will.qos)
    };
    publish.map(record).collect()
}

/// The QoS that a record is sent with, if a subscription matches it.
fn wanted_qos(subscriptions: &BTreeMap<String, SavedSubscription>, record: &Record) -> Option<QoS> {
    let topic = std::str::from_utf8(record.key.as_deref()?).ok()?;
    let matching = subscriptions
        .values()
        .filter(|saved| TopicFilter::new(&saved.filter).is_ok_and(|filter| filter.matches(topic)));
    let granted = matching.filter_map(|saved| QoS::try_from(saved.qos).ok());
    granted.max().map(|qos| qos.min(published_qos(record)))
}

fn published_qos(record: &Record) -> QoS {
    let digit = record.header(MESSAGE_TOPIC).and_then(|value| value.first());
    digit.map_or(QoS::AtMostOnce, |digit| {
        QoS::try_from(digit - b'0').expect("the simulation wrote it")
    })
}

fn message_of(record: &Record) -> Arc<Message> {
    let key = record.key.as_deref().unwrap_or_default();
    let topic = std::str::from_utf8(key).expect("the simulation wrote it");
    let topic = TopicName::try_from(topic).expect("the simulation wrote it");
    let payload = record.value.clone().unwrap_or_default();
    let qos = published_qos(record);
    let message = Message::new(topic, qos, false, Default::default(), payload, None);
    let origin = Origin {
        log: record.partition as u32,
        offset: record.offset,
    };
    Arc::new(message.at(origin, record.timestamp_ms))
}

fn save_in_flight(known: &InFlight) -> Option<SavedInFlight> {
    let origin = known.origin?;
    let partition = origin.log as i32;
    Some(SavedInFlight::new(
        known,
        MESSAGE_TOPIC,
        partition,
        origin.offset,
    ))
}

fn load_in_flight(saved: &SavedInFlight) -> InFlight {
    let log = saved.partition as u32;
    saved.in_flight(log).expect("the simulation wrote it")
}
