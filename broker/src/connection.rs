//! The driver of one connection: it owns the socket and the session, and runs one loop in a fixed order: take what
//! others have for it, fulfil the session's outputs, deliver, send, wait.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqtt::packet::{PacketId, Publish, Subscription};
use mqtt::session::{Delivery, Output, Session, Token};
use mqtt::{QoS, ReasonCode, TopicFilter};
use tokio_util::task::TaskTracker;

use crate::ingress::{Part, Taken};
use crate::mailbox::{Contents, Mailbox};
use crate::node::{Admitted, IsNew, Node};
use crate::transport::Transport;

/// Bytes that are collected for one write.
const BATCH_BYTES: usize = 64 * 1024;
/// Bytes that are read and not yet looked at, while publishes wait for Kafka.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// A client that takes nothing for so long is gone. A guess: several times a mobile network's hand-over.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Filters of one connection at most: a bound on memory, far above what real clients have.
const SUBSCRIPTIONS_MAX: usize = 10_000;

/// A publish that has to wait; nothing of the same client overtakes it.
enum Stalled {
    /// Too much waits for Kafka.
    NoRoom(Part, Option<Token>, Publish),
    /// Its retained record is on its way; the message itself follows.
    Retained(Option<Token>, Publish),
}

pub(crate) struct Connection {
    node: Arc<Node>,
    tasks: TaskTracker,
    transport: Transport,
    session: Session,
    mailbox: Arc<Mailbox>,
    admitted: Option<Admitted>,
    filters: Vec<TopicFilter>,
    /// Retained messages first, then live ones.
    ready: VecDeque<Delivery>,
    stalled: Option<Stalled>,
    buffer: BytesMut,
    /// The socket was not read.
    paused: bool,
    closed: Option<ReasonCode>,
}

impl Connection {
    pub(crate) fn new(node: Arc<Node>, tasks: TaskTracker, transport: Transport) -> Self {
        Self {
            session: Session::new(Arc::clone(&node.limits), Instant::now()),
            mailbox: Arc::new(Mailbox::new(node.client_queue, Arc::clone(&node.metrics))),
            node,
            tasks,
            transport,
            admitted: None,
            filters: Vec::new(),
            ready: VecDeque::new(),
            stalled: None,
            buffer: BytesMut::new(),
            paused: false,
            closed: None,
        }
    }

    /// Serves the client until the connection ends.
    pub(crate) async fn run(mut self) {
        let mut timer = Timer::default();
        while self.closed.is_none() {
            self.take_events();
            self.read_buffered();
            self.fulfil().await;
            self.deliver();
            if self.send().await.is_err() {
                self.session.handle_disconnected();
                self.fulfil().await;
            }
            if self.closed.is_none() && !self.can_go_on() {
                self.wait(&mut timer).await;
            }
        }
        self.finish().await;
    }

    /// Whether there is work that needs nothing from outside.
    fn can_go_on(&self) -> bool {
        let next_fits = self
            .ready
            .front()
            .is_some_and(|next| next.qos == QoS::AtMostOnce || self.session.delivery_room() > 0);
        self.session.is_up() && next_fits
    }

    fn take_events(&mut self) {
        let Contents {
            appended,
            retained_stored,
            deliveries,
            close,
        } = self.mailbox.take(self.ready.is_empty());
        self.ready.extend(deliveries);
        for (token, result) in appended {
            self.session.handle_appended(token, result);
        }
        if let Some(result) = retained_stored {
            self.go_on_after_retained(result);
        }
        if let Some(reason) = close {
            self.session.close(reason);
        }
    }

    fn go_on_after_retained(&mut self, result: Result<(), ReasonCode>) {
        if let Some(Stalled::Retained(token, publish)) = self.stalled.take() {
            match result {
                Ok(()) => self.append(Part::Message, token, publish),
                Err(reason) => self.refuse(token, reason),
            }
        }
    }

    /// Packets that came before and had to wait.
    fn read_buffered(&mut self) {
        if self.stalled.is_none() && !self.buffer.is_empty() {
            self.session.handle_bytes(Instant::now(), &mut self.buffer);
            if self.buffer.is_empty() {
                // An idle connection holds no buffer.
                self.buffer = BytesMut::new();
            }
        }
    }

    async fn fulfil(&mut self) {
        while self.stalled.is_none() {
            let Some(output) = self.session.poll_output() else {
                break;
            };
            match output {
                Output::Connect(connect) => self.connect(&connect),
                Output::Append { token, publish } if self.closed.is_some() => {
                    debug_assert!(token.is_none(), "only a will comes after close");
                    self.publish_will(publish);
                }
                Output::Append { token, publish } => self.authorised_append(token, publish),
                Output::Subscribe {
                    packet_id,
                    subscriptions,
                    subscription_id,
                } => {
                    self.subscribe(packet_id, &subscriptions, subscription_id)
                        .await
                }
                Output::Unsubscribe { packet_id, filters } => {
                    self.unsubscribe(packet_id, &filters).await;
                }
                Output::Close { reason } => self.closed = Some(reason),
            }
        }
        // A client that is gone sends again what was never acknowledged. A message whose retained record is stored is
        // finished first: it may be a QoS 0 one, which nobody sends again.
        if self.session.is_closed() && matches!(self.stalled, Some(Stalled::NoRoom(..))) {
            self.stalled = None;
            Box::pin(self.fulfil()).await;
        }
        self.node.metrics.add(self.session.take_stats());
    }

    fn connect(&mut self, connect: &mqtt::packet::Connect) {
        match self.node.admit(connect, &self.mailbox) {
            Ok(admitted) => {
                self.session
                    .handle_accepted(Instant::now(), admitted.assigned.as_deref());
                self.node.metrics.connect("accepted");
                self.node
                    .metrics
                    .connected(self.transport.name(), connect.version, 1);
                tracing::debug!(client_id = admitted.identity.client_id, "connected");
                self.admitted = Some(admitted);
            }
            Err(reason) => {
                self.node.metrics.connect(reason.text());
                tracing::info!(client_id = %connect.client_id, %reason, "connection refused");
                self.session.handle_refused(reason);
            }
        }
    }

    fn authorised_append(&mut self, token: Option<Token>, publish: Publish) {
        if may_publish(&self.node, self.admitted.as_ref(), &publish) {
            self.append(self.node.ingress.first_part(&publish), token, publish);
        } else {
            self.refuse(token, ReasonCode::NOT_AUTHORIZED);
        }
    }

    fn append(&mut self, part: Part, token: Option<Token>, publish: Publish) {
        let Some(admitted) = &self.admitted else {
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
        let client_id = &admitted.identity.client_id;
        match self
            .node
            .ingress
            .append(part, &publish, client_id, on_appended)
        {
            Taken::Yes if part == Part::Retained => {
                self.stalled = Some(Stalled::Retained(token, publish));
            }
            Taken::Yes => {}
            Taken::Refused(reason) => self.refuse(token, reason),
            Taken::Full if publish.qos == QoS::AtMostOnce => {
                self.node.metrics.dropped("kafka_queue_full", 1);
            }
            Taken::Full => self.stalled = Some(Stalled::NoRoom(part, token, publish)),
        }
    }

    fn refuse(&mut self, token: Option<Token>, reason: ReasonCode) {
        self.node.metrics.refused(reason.text());
        match token {
            Some(token) => self.session.handle_appended(token, Err(reason)),
            None => self.session.handle_not_appended(reason),
        }
    }

    async fn subscribe(
        &mut self,
        packet_id: PacketId,
        subscriptions: &[Subscription],
        subscription_id: Option<u32>,
    ) {
        let Some(admitted) = &self.admitted else {
            return;
        };
        let mut reasons = Vec::with_capacity(subscriptions.len());
        let mut retained = VecDeque::new();
        for subscription in subscriptions {
            let result = if self.filters.len() < SUBSCRIPTIONS_MAX {
                self.node
                    .subscribe(
                        admitted,
                        &self.mailbox,
                        subscription,
                        subscription_id,
                        &mut retained,
                    )
                    .await
            } else {
                Err(ReasonCode::QUOTA_EXCEEDED)
            };
            reasons.push(match result {
                Ok(IsNew(is_new)) => {
                    if is_new {
                        self.filters.push(subscription.filter.clone());
                    }
                    ReasonCode(subscription.options.qos as u8)
                }
                Err(reason) => {
                    self.node.metrics.refused(reason.text());
                    reason
                }
            });
        }
        self.ready.append(&mut retained);
        self.session.handle_subscribed(packet_id, reasons);
    }

    async fn unsubscribe(&mut self, packet_id: PacketId, filters: &[TopicFilter]) {
        let Some(admitted) = &self.admitted else {
            return;
        };
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            let was_there = self.node.unsubscribe(admitted.id, filter).await;
            self.filters.retain(|known| known != filter);
            reasons.push(match was_there {
                true => ReasonCode::SUCCESS,
                false => ReasonCode::NO_SUBSCRIPTION_EXISTED,
            });
        }
        self.session.handle_unsubscribed(packet_id, reasons);
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.session.transmit().len() < BATCH_BYTES && self.can_go_on() {
            if let Some(delivery) = self.ready.pop_front() {
                self.session.handle_delivery(now, &delivery);
            }
        }
        self.node.metrics.add(self.session.take_stats());
    }

    async fn send(&mut self) -> io::Result<()> {
        if self.session.transmit().is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(self.session.transmit()).freeze();
        self.node.metrics.sent_bytes.inc_by(bytes.len() as u64);
        self.node.metrics.writes.inc();
        tokio::time::timeout(WRITE_TIMEOUT, self.transport.write(bytes)).await?
    }

    async fn wait(&mut self, timer: &mut Timer) {
        let wants_input = self.session.wants_input()
            && self.stalled.is_none()
            && self.buffer.len() < UNREAD_BYTES_MAX + self.node.limits.packet_bytes_max;
        // While we do not read, silence is not the client's; afterwards its time starts anew.
        if wants_input && std::mem::take(&mut self.paused) {
            self.session.handle_resumed(Instant::now());
        }
        self.paused = !wants_input;
        let deadline = wants_input.then(|| self.session.poll_timeout()).flatten();
        let waits_for_room = matches!(self.stalled, Some(Stalled::NoRoom(..)));
        tokio::select! {
            () = self.mailbox.bell() => {}
            read = self.transport.read(&mut self.buffer), if wants_input => match read {
                Ok(0) | Err(_) => self.session.handle_disconnected(),
                Ok(count) => {
                    self.node.metrics.received_bytes.inc_by(count as u64);
                }
            },
            () = timer.wait(deadline) => self.session.handle_timeout(Instant::now()),
            () = self.node.ingress.producer().has_room(), if waits_for_room => {
                if let Some(Stalled::NoRoom(part, token, publish)) = self.stalled.take() {
                    self.append(part, token, publish);
                }
            }
        }
    }

    /// A will goes its own way, since its connection is gone: it waits for Kafka as long as it takes.
    fn publish_will(&self, will: Publish) {
        let Some(admitted) = &self.admitted else {
            return;
        };
        if !may_publish(&self.node, Some(admitted), &will) {
            self.node.metrics.refused(ReasonCode::NOT_AUTHORIZED.text());
            return;
        }
        let node = Arc::clone(&self.node);
        let identity = Arc::clone(&admitted.identity);
        self.tasks.spawn(async move {
            if node.ingress.first_part(&will) == Part::Retained {
                store(&node, Part::Retained, &will, &identity.client_id).await;
            }
            store(&node, Part::Message, &will, &identity.client_id).await;
        });
    }

    async fn finish(mut self) {
        let reason = self.closed.unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
        if let Some(violation) = self.session.violation() {
            let client_id = self
                .admitted
                .as_ref()
                .map(|a| a.identity.client_id.as_str());
            tracing::info!(client_id, %violation, "connection closed");
        }
        if let Some(admitted) = &self.admitted {
            for filter in &self.filters {
                self.node.unsubscribe(admitted.id, filter).await;
            }
            self.node.leave(admitted);
            self.node
                .metrics
                .connected(self.transport.name(), self.session.version(), -1);
            self.node.metrics.disconnect(reason.text());
        }
        // The client may be gone already: then there is nobody to say goodbye to.
        let _gone = tokio::time::timeout(WRITE_TIMEOUT, self.transport.close()).await;
    }
}

/// Topics below `$SYS/` are the server's own.
fn may_publish(node: &Node, admitted: Option<&Admitted>, publish: &Publish) -> bool {
    match (admitted, &publish.topic) {
        (Some(admitted), Some(topic)) => {
            !topic.as_str().starts_with("$SYS/")
                && node.acl.may_publish(&admitted.identity, topic.as_str())
        }
        _ => false,
    }
}

/// Stores one record and waits for Kafka's answer.
async fn store(node: &Node, part: Part, publish: &Publish, client_id: &str) {
    loop {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let answer = parking_lot::Mutex::new(Some(answer));
        let on_appended = Box::new(move |result| {
            // Nobody listens any more only when the process ends.
            let _ended = answer.into_inner().map(|answer| answer.send(result));
        });
        match node
            .ingress
            .append(part, publish, client_id, Some(on_appended))
        {
            Taken::Full => node.ingress.producer().has_room().await,
            Taken::Refused(reason) => return node.metrics.refused(reason.text()),
            Taken::Yes => {
                if !matches!(answered.await, Ok(Ok(()))) {
                    node.metrics.dropped("kafka_refused", 1);
                }
                return;
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
