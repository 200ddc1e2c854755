//! The driver of one connection: it owns the socket and the session, and runs one loop in a fixed order: take what
//! others have for it, fulfil the session's outputs, deliver, save, send, wait.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use kafka::NewRecord;
use mqtt::packet::{Publish, Will};
use mqtt::session::{Delivery, Output, Session, Token};
use mqtt::{QoS, ReasonCode};
use tokio_util::task::TaskTracker;

use crate::admission::may_publish;
use crate::authenticating::Authenticating;
use crate::client::Client;
use crate::ingress::{Part, Taken};
use crate::mailbox::{Contents, Mailbox};
use crate::node::Node;
use crate::sessions::Left;
use crate::transport::Transport;

/// Bytes that are collected for one write.
const BATCH_BYTES: usize = 64 * 1024;
/// Bytes that are read and not yet looked at, while publishes wait for Kafka.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// A client that takes nothing for so long is gone. A guess: several times a mobile network's hand-over.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A session that outlives its connection is stored after so many messages at QoS 1 and 2, too: they come again after a
/// crash. A guess.
const CHECKPOINT_MESSAGES: u64 = 1000;

/// A publish that has to wait; nothing of the same client overtakes it.
pub(crate) enum Stalled {
    /// Too much waits for Kafka.
    NoRoom(Part, Option<Token>, Publish),
    /// Its retained record is on its way; the message itself follows.
    Retained(Option<Token>, Publish),
}

/// A QoS 2 message that is stored with the state that holds its packet identifier.
struct Together {
    token: Token,
    records: Vec<NewRecord>,
}

/// A state that is on its way to Kafka, with the QoS 2 messages that are stored together with it.
pub(crate) struct Saving {
    pub(crate) revision: u64,
    pub(crate) tokens: Vec<Token>,
}

impl Saving {
    /// Kafka has answered.
    pub(crate) fn answered(self, session: &mut Session, result: Result<(), ReasonCode>) {
        // A message that Kafka does not take is its publisher's loss; a state that it does not take is ours.
        let ends_session = result.is_err() && (self.revision > 0 || self.tokens.is_empty());
        for token in self.tokens {
            match result {
                Ok(()) => session.handle_stored(token),
                Err(reason) => session.handle_appended(token, Err(reason)),
            }
        }
        if result.is_ok() {
            session.handle_saved(self.revision);
        } else if ends_session {
            session.close(ReasonCode::UNSPECIFIED_ERROR);
        }
    }
}

pub(crate) struct Connection {
    pub(crate) node: Arc<Node>,
    pub(crate) tasks: TaskTracker,
    pub(crate) transport: Transport,
    pub(crate) session: Session,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Boxed, as most of the time a connection waits and only has to be small.
    pub(crate) client: Option<Box<Client>>,
    /// Retained messages of new subscriptions; they go first.
    pub(crate) retained: VecDeque<Delivery>,
    /// Messages that were taken out of the mailbox.
    pub(crate) ready: VecDeque<Delivery>,
    pub(crate) stalled: Option<Box<Stalled>>,
    pub(crate) authenticating: Option<Box<Authenticating>>,
    buffer: BytesMut,
    /// What is in the buffer was not looked at to its end, since the session did not take it.
    is_held_back: bool,
    /// The socket was not read.
    paused: bool,
    /// QoS 2 messages that will be stored with the session's state.
    together: Vec<Together>,
    together_bytes: usize,
    /// Boxed, as most sessions save seldom.
    saving: Option<Box<Saving>>,
    pub(crate) last_saved: Instant,
    /// The time of this turn.
    pub(crate) now: Instant,
    /// Messages at QoS 1 and 2 that were sent since the session was stored.
    sent_since_saved: u64,
    pub(crate) closed: Option<ReasonCode>,
    pub(crate) will: Option<Box<Will>>,
}

impl Connection {
    pub(crate) fn new(node: Arc<Node>, tasks: TaskTracker, transport: Transport) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(Arc::clone(&node.limits), now),
            mailbox: Arc::new(Mailbox::new(node.settings.queue, Arc::clone(&node.metrics))),
            node,
            tasks,
            transport,
            client: None,
            retained: VecDeque::new(),
            ready: VecDeque::new(),
            stalled: None,
            authenticating: None,
            buffer: BytesMut::new(),
            is_held_back: false,
            paused: false,
            together: Vec::new(),
            together_bytes: 0,
            saving: None,
            last_saved: now,
            now,
            sent_since_saved: 0,
            closed: None,
            will: None,
        }
    }

    /// Serves the client until the connection ends; then it has to be finished.
    pub(crate) async fn run(&mut self) {
        let mut timer = Timer::default();
        while self.closed.is_none() {
            self.take_events();
            self.read_buffered();
            self.fulfil().await;
            self.finish_shared();
            self.deliver();
            self.save().await;
            if self.send().await.is_err() {
                self.session.handle_disconnected();
                self.fulfil().await;
            }
            self.node.metrics.add(self.session.take_stats());
            if self.closed.is_none() && !self.can_go_on() {
                self.wait(&mut timer).await;
                self.now = Instant::now();
                if !self.node.membership.pulse.is_sure(self.now) {
                    // This process slept: another node may serve the client by now.
                    Box::pin(self.node.membership.pulse.sure()).await;
                }
            }
        }
    }

    /// Whether there is work that needs nothing from outside: a message that can be sent, more of them in the mailbox, or
    /// packets that came with one that had to be decided on first, as behind a CONNECT.
    fn can_go_on(&self) -> bool {
        self.can_deliver()
            || (self.ready.is_empty() && self.mailbox.has_news())
            || (self.is_held_back && self.wants_input())
    }

    fn can_deliver(&self) -> bool {
        let next = self.retained.front().or_else(|| self.ready.front());
        let next_fits = next
            .is_some_and(|next| next.qos == QoS::AtMostOnce || self.session.delivery_room() > 0);
        self.session.is_up() && next_fits
    }

    pub(crate) fn take_events(&mut self) {
        let Contents {
            appended,
            retained_stored,
            saved,
            deliveries,
            close,
            ..
        } = self.mailbox.take(self.ready.is_empty());
        self.ready.extend(deliveries);
        for (token, result) in appended {
            self.session.handle_appended(token, result);
        }
        if let Some(result) = saved
            && let Some(saving) = self.saving.take()
        {
            saving.answered(&mut self.session, result);
        }
        if let Some(result) = retained_stored {
            self.go_on_after_retained(result);
        }
        if let Some(reason) = close {
            self.close(reason);
        }
        let has_readers = self
            .client
            .as_ref()
            .is_some_and(|client| client.has_readers);
        if self.mailbox.is_behind() || has_readers {
            self.ask_for_sweeps();
        }
    }

    fn close(&mut self, reason: ReasonCode) {
        match &self.node.settings.server_reference {
            Some(server) if reason == ReasonCode::SERVER_SHUTTING_DOWN => {
                let server = server.clone();
                self.session
                    .close_to(ReasonCode::USE_ANOTHER_SERVER, Some(&server));
            }
            _ => self.session.close(reason),
        }
    }

    fn go_on_after_retained(&mut self, result: Result<(), ReasonCode>) {
        match self.stalled.take().map(|stalled| *stalled) {
            Some(Stalled::Retained(token, publish)) => match result {
                Ok(()) => self.append(Part::Message, token, publish),
                Err(reason) => self.refuse(token, reason),
            },
            other => self.stalled = other.map(Box::new),
        }
    }

    /// Packets that came before and had to wait.
    fn read_buffered(&mut self) {
        if self.wants_input() && !self.buffer.is_empty() {
            self.session.handle_bytes(self.now, &mut self.buffer);
            if self.buffer.is_empty() {
                // An idle connection holds no buffer.
                self.buffer = BytesMut::new();
            }
        }
        self.is_held_back = !self.buffer.is_empty() && !self.wants_input();
    }

    /// Whether the session takes packets, and none of the client's waits that they must not overtake.
    fn wants_input(&self) -> bool {
        self.session.wants_input()
            && self.stalled.is_none()
            && self.together_bytes < UNREAD_BYTES_MAX
    }

    pub(crate) async fn fulfil(&mut self) {
        while self.stalled.is_none() {
            match self.session.poll_output() {
                None => break,
                Some(Output::Append { token, publish }) => self.authorised_append(token, publish),
                Some(Output::Close { reason, will }) => {
                    self.closed = Some(reason);
                    self.will = will;
                }
                Some(other) => Box::pin(self.fulfil_rare(other)).await,
            }
        }
        // A client that is gone sends again what was never acknowledged. A message whose retained record is stored is
        // finished first: it may be a QoS 0 one, which nobody sends again.
        let is_stuck = matches!(self.stalled.as_deref(), Some(Stalled::NoRoom(..)));
        if self.session.is_closed() && is_stuck {
            self.stalled = None;
            Box::pin(self.fulfil()).await;
        }
    }

    /// What a client does seldom: its future is large, and boxed.
    async fn fulfil_rare(&mut self, output: Output) {
        match output {
            Output::Connect(connect) => self.connect(connect).await,
            Output::Auth {
                data,
                is_start: true,
            } => self.begin_exchange(None, data).await,
            Output::Auth { data, .. } => self.go_on_exchange(&data).await,
            Output::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Output::Unsubscribe { packet_id, filters } => {
                self.unsubscribe(packet_id, &filters).await;
            }
            Output::Append { .. } | Output::Close { .. } => {
                unreachable!("fulfilled where it is taken")
            }
        }
    }

    fn authorised_append(&mut self, token: Option<Token>, publish: Publish) {
        let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
        let may = self
            .client
            .as_ref()
            .is_some_and(|client| may_publish(&self.node, &client.identity, topic));
        match token {
            _ if !may => self.refuse(token, ReasonCode::NOT_AUTHORIZED),
            Some(token)
                if publish.qos == QoS::ExactlyOnce
                    && self.session.is_durable()
                    && self.node.sessions.ledger.is_together() =>
            {
                self.append_with_state(token, &publish);
            }
            _ => self.append(self.node.ingress.first_part(&publish), token, publish),
        }
    }

    /// The message and its packet identifier are stored at once, so that one which is sent again after a crash, to any
    /// node, is recognised.
    fn append_with_state(&mut self, token: Token, publish: &Publish) {
        let Some(client) = &self.client else {
            return;
        };
        match self
            .node
            .ingress
            .records(publish, &client.identity.client_id)
        {
            Ok(records) => {
                self.together_bytes += publish.payload.len();
                self.together.push(Together { token, records });
            }
            Err(reason) => self.refuse(Some(token), reason),
        }
    }

    /// Whether the session's state is on its way to Kafka.
    pub(crate) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    fn append(&mut self, part: Part, token: Option<Token>, publish: Publish) {
        let Some(client) = &self.client else {
            return;
        };
        let mailbox = Arc::clone(&self.mailbox);
        let on_appended: Option<crate::ingress::OnAppended> = match (part, token) {
            (Part::Retained, _) => Some(Box::new(move |result| mailbox.retained_stored(result))),
            (Part::Message, Some(token)) => {
                Some(Box::new(move |result| mailbox.appended(token, result)))
            }
            (Part::Message, None) => None,
        };
        let client_id = &client.identity.client_id;
        match self
            .node
            .ingress
            .append(part, &publish, client_id, on_appended)
        {
            Taken::Yes if part == Part::Retained => {
                self.stalled = Some(Box::new(Stalled::Retained(token, publish)));
            }
            Taken::Yes => {}
            Taken::Refused(reason) => self.refuse(token, reason),
            Taken::Full if publish.qos == QoS::AtMostOnce => {
                self.node.metrics.dropped("kafka_queue_full", 1);
            }
            Taken::Full => self.stalled = Some(Box::new(Stalled::NoRoom(part, token, publish))),
        }
    }

    fn refuse(&mut self, token: Option<Token>, reason: ReasonCode) {
        self.node.metrics.refused(reason.text());
        match token {
            Some(token) => self.session.handle_appended(token, Err(reason)),
            None => self.session.handle_not_appended(reason),
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        while self.session.transmit().len() < BATCH_BYTES && self.can_deliver() {
            let next = self.retained.pop_front().or_else(|| self.ready.pop_front());
            if let Some(delivery) = next {
                if !self.may_receive(&delivery) {
                    self.node.metrics.dropped("not_authorized", 1);
                    self.node
                        .shares
                        .finish(delivery.share, delivery.message.origin);
                    continue;
                }
                if !self.node.shares.begin(&delivery) {
                    continue;
                }
                if delivery.qos > QoS::AtMostOnce {
                    self.sent_since_saved += 1;
                }
                self.session.handle_delivery(now, &delivery);
            }
        }
        let in_flight = usize::from(self.node.limits.in_flight_max) - self.session.delivery_room();
        self.mailbox.set_in_flight(in_flight + self.ready.len());
    }

    /// Messages of shared subscriptions that nobody else has to get any more.
    pub(crate) fn finish_shared(&mut self) {
        for (share, origin) in self.session.take_finished() {
            self.node.shares.finish(share, Some(origin));
        }
    }

    fn may_receive(&self, delivery: &Delivery) -> bool {
        let topic = delivery.message.topic().as_str();
        self.client
            .as_ref()
            .is_some_and(|client| self.node.acl.may_receive(&client.identity, topic))
    }

    /// When what the client has proved is not true any more, as its token says.
    fn identity_expires(&self) -> Option<Instant> {
        let expires = self.client.as_ref()?.identity.expires?;
        let left = expires.duration_since(SystemTime::now());
        // One that is further away than a clock can count never comes.
        self.now.checked_add(left.unwrap_or_default())
    }

    /// Stores the session's state when packets wait for that, and now and then, so that a crash does not bring back too
    /// much that was acknowledged.
    pub(crate) async fn save(&mut self) {
        let wanted = self.session.wants_saving();
        let is_due = self.sent_since_saved >= CHECKPOINT_MESSAGES
            && self.session.session_expiry_s() > 0
            || self.checkpoint_due().is_some_and(|due| self.now >= due);
        if !self.is_saving() && (wanted.is_some() || is_due || !self.together.is_empty()) {
            Box::pin(self.save_now(wanted)).await;
        }
    }

    async fn save_now(&mut self, wanted: Option<u64>) {
        let Some(client) = &self.client else {
            return;
        };
        let together = std::mem::take(&mut self.together);
        self.together_bytes = 0;
        let tokens: Vec<Token> = together.iter().map(|one| one.token).collect();
        let records = together.into_iter().flat_map(|one| one.records).collect();
        let record = client.record(
            &self.node,
            &self.session,
            &self.mailbox,
            &self.ready,
            &tokens,
            None,
        );
        let revision = wanted.unwrap_or(0);
        self.saving = Some(Box::new(Saving { revision, tokens }));
        self.last_saved = self.now;
        self.sent_since_saved = 0;
        let mailbox = Arc::clone(&self.mailbox);
        let then = move |result: Result<(), kafka::Error>| {
            mailbox.saved(result.map_err(|error| {
                tracing::warn!(%error, "can't store a session");
                match error {
                    kafka::Error::TooLarge => ReasonCode::PACKET_TOO_LARGE,
                    _ => ReasonCode::UNSPECIFIED_ERROR,
                }
            }));
        };
        let left = Left::State(&record);
        client.claim.store_then(left, records, false, then).await;
    }

    /// When the session has to be stored because of what was sent; `None` when nothing was, or it ends with its
    /// connection.
    fn checkpoint_due(&self) -> Option<Instant> {
        let counts = self.sent_since_saved > 0 && self.session.session_expiry_s() > 0;
        counts.then(|| self.last_saved + self.node.settings.checkpoint)
    }

    async fn send(&mut self) -> io::Result<()> {
        if self.session.transmit().is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(self.session.transmit()).freeze();
        self.node.metrics.sent_bytes.inc_by(bytes.len() as u64);
        self.node.metrics.writes.inc();
        // Nearly always the system takes all of it at once.
        if self.transport.try_write(&mut bytes)? {
            return Ok(());
        }
        Box::pin(self.send_slowly(bytes)).await
    }

    async fn send_slowly(&mut self, bytes: Bytes) -> io::Result<()> {
        let mailbox = Arc::clone(&self.mailbox);
        // A client that takes nothing must not hold up the one that takes over its session.
        let shall_end = async {
            while !mailbox.wants_close() {
                mailbox.bell().await;
            }
            // What is written already may still leave.
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let result = tokio::select! {
            biased;
            written = self.transport.write(bytes) => written,
            () = shall_end => Err(io::ErrorKind::TimedOut.into()),
            () = tokio::time::sleep(WRITE_TIMEOUT) => Err(io::ErrorKind::TimedOut.into()),
        };
        // The bell may have rung for something else.
        self.mailbox.ring();
        result
    }

    async fn wait(&mut self, timer: &mut Timer) {
        let wants_input = self.wants_input()
            && self.buffer.len() < UNREAD_BYTES_MAX + self.node.limits.packet_bytes_max;
        // While we do not read, silence is not the client's; afterwards its time starts anew.
        if wants_input && std::mem::take(&mut self.paused) {
            self.session.handle_resumed(Instant::now());
        }
        self.paused = !wants_input;
        let silence = wants_input.then(|| self.session.poll_timeout()).flatten();
        let checkpoint = self.checkpoint_due().filter(|_| !self.is_saving());
        let deadline = [silence, checkpoint, self.identity_expires()]
            .into_iter()
            .flatten()
            .min();
        let waits_for_room = matches!(self.stalled.as_deref(), Some(Stalled::NoRoom(..)));
        let room = async {
            match waits_for_room {
                true => Box::pin(self.node.ingress.producer().has_room()).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.mailbox.bell() => {}
            read = self.transport.read(&mut self.buffer), if wants_input => match read {
                Ok(0) | Err(_) => self.session.handle_disconnected(),
                Ok(count) => {
                    self.node.metrics.received_bytes.inc_by(count as u64);
                }
            },
            () = timer.wait(deadline) => {
                self.now = Instant::now();
                self.session.handle_timeout(self.now);
                if self.identity_expires().is_some_and(|expires| expires <= self.now) {
                    self.session.close(ReasonCode::NOT_AUTHORIZED);
                }
            }
            () = room => {
                if let Some(Stalled::NoRoom(part, token, publish)) = self.stalled.take().map(|s| *s) {
                    self.append(part, token, publish);
                }
            }
        }
    }
}

/// One timer that is only set when the deadline comes nearer: keep alive moves it away with each packet.
#[derive(Default)]
struct Timer {
    sleep: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Timer {
    /// Waits until `deadline`, or an earlier one that it was set to before; for ever without one.
    async fn wait(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.is_elapsed() || deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().await;
    }
}
