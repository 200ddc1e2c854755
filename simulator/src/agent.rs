//! A vehicle's agent: it moves the vehicle at each tick and keeps what is to be sent, whichever client sends it.
//!
//! What waits is bounded: one status, a few answers to commands, and one position, which a newer one replaces.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fleet::{Command, Reply, Status};
use mqtt::QoS;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::commands::{Incoming, Replies, ReplyTo};
use crate::connection::Shared;
use crate::router::Answer;
use crate::timeline;
use crate::vehicle::{Vehicle, rounded, tenths};

/// A message to send.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// What the answer to a command carries.
    pub(crate) correlation: Option<Bytes>,
}

/// One vehicle with what it has to say.
pub(crate) struct Agent {
    pub(crate) shared: Arc<Shared>,
    vehicle: Vehicle,
    ticker: Interval,
    /// When the tick that the vehicle has reached was planned.
    reached: Option<Instant>,
    /// The route it waits for.
    answer: Option<Answer>,
    /// The command whose route that is, and where its answer goes.
    ordered: Option<Option<ReplyTo>>,
    connected: bool,
    /// The last round of the checkpoint that it saw.
    round: u64,
    command_topic: Arc<str>,
    status_topic: Arc<str>,
    /// Where its positions go: one topic, or two when it is visible.
    position_topics: Vec<Arc<str>>,
    status: Option<Status>,
    replies: Replies,
    /// The newest position, and how many of its topics have had it.
    position: Option<(Bytes, usize)>,
}

impl Agent {
    pub(crate) fn new(vehicle: Vehicle, index: u32, shared: Arc<Shared>) -> Self {
        let plate = vehicle.plate();
        let mut position_topics = vec![shared.topics.vehicle_update(plate).into()];
        if vehicle.is_visible() {
            position_topics.push(shared.topics.visible_vehicle_update(plate).into());
        }
        Self {
            status_topic: shared.topics.vehicle_status(plate).into(),
            position_topics,
            ticker: ticker(&shared, index),
            reached: None,
            answer: None,
            ordered: None,
            connected: false,
            round: 0,
            command_topic: shared.topics.command(plate).into(),
            status: None,
            replies: Replies::default(),
            position: None,
            vehicle,
            shared,
        }
    }

    pub(crate) fn client_id(&self) -> String {
        format!("vehicle-{}", self.vehicle.plate())
    }

    /// Where `online` goes, and `offline` as the Last Will.
    pub(crate) fn status_topic(&self) -> &Arc<str> {
        &self.status_topic
    }

    /// Where commands come from, at QoS 1. A retained one would be carried out at each connect, so those are not wanted.
    pub(crate) fn command_topic(&self) -> &Arc<str> {
        &self.command_topic
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Waits for the next tick and lets it pass. Nothing is lost when this is dropped while it waits.
    pub(crate) async fn tick(&mut self) {
        let planned = self.ticker.tick().await;
        let metrics = &self.shared.metrics;
        metrics
            .tick_lateness_seconds
            .observe(planned.elapsed().as_secs_f64());
        let interval = self.shared.config.interval();
        let ticks = self.reached.map_or(1, |reached| {
            let since = planned.saturating_duration_since(reached);
            (since.as_secs_f64() / interval.as_secs_f64()).round() as u32
        });
        self.reached = Some(planned);
        let seconds = interval.as_secs_f64() * self.shared.config.speed;
        let mut moved = false;
        for _ in 0..ticks {
            self.see_to_route();
            moved = self.vehicle.step(seconds);
            self.see_to_route();
            if !moved {
                self.shared.metrics.ticks_held.inc();
                break;
            }
        }
        if let Some(checkpoint) = &self.shared.checkpoint {
            checkpoint.take(&self.vehicle, &mut self.round);
        }
        if moved && self.connected {
            self.put_position();
        }
    }

    fn see_to_route(&mut self) {
        if let Some(answer) = &mut self.answer {
            match answer.try_recv() {
                Ok(planned) => {
                    if planned.is_none() {
                        self.shared.metrics.route_failures.inc();
                    }
                    self.answer = None;
                    let found = planned.is_some();
                    self.vehicle.set_plan(planned);
                    self.answer_order(found);
                }
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => (),
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => self.answer = None,
            }
        }
        if self.answer.is_none() {
            let world = self.vehicle.world();
            self.answer = self
                .vehicle
                .wanted()
                .map(|wanted| self.shared.router.plan(Arc::clone(world), wanted));
        }
    }

    /// A message has come on the command topic.
    pub(crate) fn command(&mut self, incoming: &Incoming<'_>) {
        self.shared.metrics.commands.inc();
        let reply_to = ReplyTo::of(incoming, &self.shared);
        let ordered = Command::from_json(incoming.payload)
            .map_err(|error| error.to_string())
            .and_then(|command| self.vehicle.order(&command));
        match ordered {
            Ok(()) => {
                self.ordered = Some(reply_to);
                // What the vehicle wanted before, it does not want any more.
                self.answer = None;
                self.see_to_route();
            }
            Err(reason) => {
                let reply = Reply::Refused { reason };
                self.replies.push(reply_to, &reply, &self.shared);
            }
        }
    }

    /// The broker does not let it subscribe to its commands.
    pub(crate) fn no_commands(&self, reason: &dyn std::fmt::Display) {
        self.shared.broker.refuses_commands(reason);
    }

    fn answer_order(&mut self, found: bool) {
        let Some(reply_to) = self.ordered.take() else {
            return;
        };
        let reply = if found {
            Reply::Accepted {
                destination: rounded(self.vehicle.destination()),
                eta_seconds: tenths(self.vehicle.eta_s()),
            }
        } else {
            Reply::Refused {
                reason: "there is no way from here to there".to_owned(),
            }
        };
        self.replies.push(reply_to, &reply, &self.shared);
    }

    fn put_position(&mut self) {
        let payload = self.vehicle.next_position(now_ms()).to_json();
        if self.position.replace((payload.into(), 0)).is_some() {
            self.shared.metrics.messages_dropped.inc();
        }
    }

    /// The broker has let it in: it says so, and where it is.
    pub(crate) fn connected(&mut self) {
        self.connected = true;
        let metrics = &self.shared.metrics;
        metrics.connects.inc();
        metrics.connected.inc();
        self.shared.broker.is_there();
        self.status = Some(Status::Online);
        self.put_position();
    }

    /// The connection broke, or could not be made. What waited is old by the time there is another.
    pub(crate) fn lost(&mut self, error: &anyhow::Error) {
        let metrics = &self.shared.metrics;
        if self.connected {
            metrics.connected.dec();
            metrics.connections_lost.inc();
        } else {
            metrics.connect_failures.inc();
        }
        self.connected = false;
        self.status = None;
        self.replies.clear();
        self.position = None;
        if metrics.connected.get() == 0 {
            self.shared.broker.is_away(error);
        }
    }

    /// From here on there is only `offline` to say.
    pub(crate) fn say_goodbye(&mut self) {
        self.position = None;
        self.replies.clear();
        self.status = Some(Status::Offline);
    }

    /// It is gone.
    pub(crate) fn left(&self) {
        if self.connected {
            self.shared.metrics.connected.dec();
        }
        self.shared.metrics.vehicles.dec();
        if let Some(checkpoint) = &self.shared.checkpoint {
            checkpoint.keep(&self.vehicle);
        }
    }

    /// The next message to send, of those that need no acknowledgement unless `room` for one more says otherwise.
    pub(crate) fn next_message(&mut self, room: bool) -> Option<Message> {
        if let Some(status) = self.status.take_if(|_| room) {
            return Some(Message {
                topic: Arc::clone(&self.status_topic),
                payload: Bytes::from_static(status.as_str().as_bytes()),
                qos: QoS::AtLeastOnce,
                retain: true,
                correlation: None,
            });
        }
        if room && let Some(reply) = self.replies.pop() {
            return Some(reply);
        }
        let qos = self.shared.config.qos();
        if qos > QoS::AtMostOnce && !room {
            return None;
        }
        let (payload, done) = self.position.as_mut()?;
        let message = Message {
            topic: Arc::clone(self.position_topics.get(*done)?),
            payload: payload.clone(),
            qos,
            retain: false,
            correlation: None,
        };
        *done += 1;
        if *done == self.position_topics.len() {
            self.position = None;
        }
        Some(message)
    }
}

/// Ticks at the interval, at the vehicle's turn in it.
fn ticker(shared: &Shared, index: u32) -> Interval {
    let interval = shared.config.interval();
    let phase = timeline::phase(interval, index);
    let since = shared.started.elapsed().saturating_sub(phase);
    let rounds = since.as_secs_f64() / interval.as_secs_f64();
    let first = shared.started + phase + interval.mul_f64(rounds.floor() + 1.0);
    let mut ticker = interval_at(first, interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticker
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
