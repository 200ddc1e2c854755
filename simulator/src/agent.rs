//! A vehicle's agent: it moves the vehicle at each tick and keeps what is to be sent, whichever client sends it.
//!
//! What waits is bounded: one status and one position, which a newer one replaces.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fleet::Status;
use mqtt::QoS;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::connection::Shared;
use crate::router::Answer;
use crate::timeline;
use crate::vehicle::Vehicle;

/// A message to send.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
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
    connected: bool,
    status_topic: Arc<str>,
    /// Where its positions go: one topic, or two when it is visible.
    position_topics: Vec<Arc<str>>,
    status: Option<Status>,
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
            connected: false,
            status: None,
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
                    self.vehicle.set_plan(planned);
                    self.answer = None;
                }
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => (),
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => self.answer = None,
            }
        }
        if self.answer.is_none() {
            self.answer = self.vehicle.wanted().map(|w| self.shared.router.plan(w));
        }
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
        self.position = None;
        if metrics.connected.get() == 0 {
            self.shared.broker.is_away(error);
        }
    }

    /// From here on there is only `offline` to say.
    pub(crate) fn say_goodbye(&mut self) {
        self.position = None;
        self.status = Some(Status::Offline);
    }

    /// It is gone.
    pub(crate) fn left(&self) {
        if self.connected {
            self.shared.metrics.connected.dec();
        }
        self.shared.metrics.vehicles.dec();
    }

    /// The next message to send, of those that need no acknowledgement unless `room` for one more says otherwise.
    pub(crate) fn next_message(&mut self, room: bool) -> Option<Message> {
        if let Some(status) = self.status.take_if(|_| room) {
            return Some(Message {
                topic: Arc::clone(&self.status_topic),
                payload: Bytes::from_static(status.as_str().as_bytes()),
                qos: QoS::AtLeastOnce,
                retain: true,
            });
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
