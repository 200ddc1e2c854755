//! One vehicle's connection to the broker: MQTT 5 by `rumqttc`, a Last Will, one task.
//!
//! The task drives two things side by side: the connection, and a ticker that moves the vehicle and publishes where it
//! is. The vehicle moves whether or not it is connected. What the connection can't take at once waits in a queue of
//! [`QUEUE`] messages; behind it one position waits, and a newer one takes its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fleet::{Status, Topics};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use service::{Shutdown, admin::Ready};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::router::{Answer, Router};
use crate::vehicle::Vehicle;

/// Messages that wait for the socket: `online`, a position on both topics, and one to spare.
const QUEUE: usize = 4;

/// Unacknowledged messages at QoS 1. `rumqttc` reserves a place for each, so its default of 65 535 would cost every
/// vehicle megabytes.
const IN_FLIGHT: u16 = 16;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The first and the longest wait before connecting again; each is drawn between 0 and its bound, so that a fleet that
/// lost its broker does not come back all at once.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(20);

/// How long leaving may take: `offline` has to be acknowledged.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// What all connections of a fleet share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) topics: Topics,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) router: Arc<Router>,
    pub(crate) broker: Broker,
    /// When the fleet started; ticks are spread from here.
    pub(crate) started: Instant,
}

/// Whether the broker is there, as the fleet as a whole sees it: said once per change, not once per vehicle.
pub(crate) struct Broker {
    address: String,
    state: AtomicU8,
    ready: Ready,
}

impl Broker {
    const UNKNOWN: u8 = 0;
    const THERE: u8 = 1;
    const AWAY: u8 = 2;

    pub(crate) fn new(config: &Config, ready: Ready) -> Self {
        Self {
            address: format!("{}:{}", config.mqtt_host, config.mqtt_port),
            state: AtomicU8::new(Self::UNKNOWN),
            ready,
        }
    }

    fn is_there(&self) {
        if self.state.swap(Self::THERE, Ordering::Relaxed) != Self::THERE {
            self.ready.set(Ok(()));
            tracing::info!(broker = %self.address, "vehicles are connecting");
        }
    }

    fn is_away(&self, error: &ConnectionError) {
        if self.state.swap(Self::AWAY, Ordering::Relaxed) != Self::AWAY {
            self.ready
                .set(Err(format!("no connection to {}", self.address)));
            tracing::warn!(broker = %self.address, %error, "no vehicle is connected; trying again");
        }
    }
}

/// A vehicle and its connection.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    vehicle: Vehicle,
    client: AsyncClient,
    status_topic: String,
    /// Where its positions go: one topic, or two when it is visible.
    position_topics: Vec<String>,
    ticker: Interval,
    moved: Instant,
    /// The route it waits for.
    answer: Option<Answer>,
    connected: bool,
    /// Messages in the queue of the client.
    queued: usize,
    /// The position that found the queue full, and how many of its topics have had it.
    waiting: Option<(Bytes, usize)>,
    failures: u32,
    jitter: ChaCha8Rng,
}

/// Drives one vehicle until `shutdown`, then says goodbye.
pub(crate) async fn run(vehicle: Vehicle, index: u32, shared: Arc<Shared>, shutdown: Shutdown) {
    let (client, mut events) = AsyncClient::new(options(&shared, &vehicle), QUEUE);
    let mut connection = Connection::new(vehicle, index, shared, client);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            error = connection.follow(&mut events) => connection.lost(&error),
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = connection.back_off() => (),
        }
    }
    // A broker that does not answer in time will send the Last Will.
    let _in_time = timeout(FAREWELL, connection.farewell(&mut events)).await;
    connection.leave();
}

fn options(shared: &Shared, vehicle: &Vehicle) -> MqttOptions {
    let config = &shared.config;
    let mut options = MqttOptions::new(
        format!("vehicle-{}", vehicle.plate()),
        &config.mqtt_host,
        config.mqtt_port,
    );
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(true);
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    options.set_last_will(LastWill::new(
        shared.topics.vehicle_status(vehicle.plate()),
        Status::Offline.as_str(),
        QoS::AtLeastOnce,
        true,
        None,
    ));
    if let Some(username) = &config.mqtt_username {
        let password = config.mqtt_password.as_ref().map_or("", |p| p.reveal());
        options.set_credentials(username, password);
    }
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

impl Connection {
    fn new(vehicle: Vehicle, index: u32, shared: Arc<Shared>, client: AsyncClient) -> Self {
        let plate = vehicle.plate();
        let mut position_topics = vec![shared.topics.vehicle_update(plate)];
        if vehicle.is_visible() {
            position_topics.push(shared.topics.visible_vehicle_update(plate));
        }
        let mut jitter = ChaCha8Rng::seed_from_u64(shared.config.seed);
        // Apart from the streams that decide where vehicles go.
        jitter.set_stream(u64::from(index) | 1 << 63);
        Self {
            status_topic: shared.topics.vehicle_status(plate),
            position_topics,
            ticker: ticker(&shared, index),
            moved: Instant::now(),
            answer: None,
            connected: false,
            queued: 0,
            waiting: None,
            failures: 0,
            jitter,
            client,
            vehicle,
            shared,
        }
    }

    /// Connects and publishes until the connection breaks.
    async fn follow(&mut self, events: &mut EventLoop) -> ConnectionError {
        loop {
            // Polling must not be cancelled half-way: the ticker gets its turns while the same future goes on.
            let poll = events.poll();
            tokio::pin!(poll);
            let event = loop {
                tokio::select! {
                    event = &mut poll => break event,
                    planned = self.ticker.tick() => self.tick(planned),
                }
            };
            match event {
                Ok(event) => self.handle(&event),
                Err(error) => return error,
            }
        }
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => self.connected(),
            Event::Outgoing(Outgoing::Publish(_)) => {
                self.queued = self.queued.saturating_sub(1);
                self.shared.metrics.messages_sent.inc();
                self.send_waiting();
            }
            _ => (),
        }
    }

    fn connected(&mut self) {
        self.connected = true;
        self.failures = 0;
        self.shared.metrics.connects.inc();
        self.shared.metrics.connected.inc();
        self.shared.broker.is_there();
        self.publish_status(Status::Online);
        self.publish_position();
    }

    /// Puts `online` or `offline` in the queue, if there is room.
    fn publish_status(&mut self, status: Status) -> bool {
        let queued = self.client.try_publish(
            self.status_topic.clone(),
            QoS::AtLeastOnce,
            true,
            status.as_str(),
        );
        self.queued += usize::from(queued.is_ok());
        queued.is_ok()
    }

    /// Lets the time since the last tick pass, and publishes where that leaves the vehicle.
    fn tick(&mut self, planned: Instant) {
        let now = Instant::now();
        let lateness = now.saturating_duration_since(planned).as_secs_f64();
        self.shared.metrics.tick_lateness_seconds.observe(lateness);
        self.vehicle.step((now - self.moved).as_secs_f64());
        self.moved = now;
        self.see_to_route();
        if self.connected {
            self.publish_position();
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

    fn publish_position(&mut self) {
        let payload = self.vehicle.next_position(now_ms()).to_json();
        if self.waiting.replace((payload.into(), 0)).is_some() {
            self.shared.metrics.messages_dropped.inc();
        }
        self.send_waiting();
    }

    /// Hands the waiting position to the client, as far as its queue takes it.
    fn send_waiting(&mut self) {
        let qos = match self.shared.config.qos {
            0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        while let Some((payload, done)) = &mut self.waiting {
            let Some(topic) = self.position_topics.get(*done) else {
                self.waiting = None;
                return;
            };
            let sent = self
                .client
                .try_publish(topic.clone(), qos, false, payload.clone());
            if sent.is_err() {
                return;
            }
            *done += 1;
            self.queued += 1;
        }
    }

    fn lost(&mut self, error: &ConnectionError) {
        let metrics = &self.shared.metrics;
        if self.connected {
            metrics.connected.dec();
            metrics.connections_lost.inc();
        } else {
            metrics.connect_failures.inc();
        }
        self.connected = false;
        // What was queued is old by the time there is a connection again; it starts with a fresh position.
        self.queued = 0;
        self.waiting = None;
        if metrics.connected.get() == 0 {
            self.shared.broker.is_away(error);
        }
    }

    /// Waits before the next attempt; the vehicle drives on.
    async fn back_off(&mut self) {
        let doubled = BACK_OFF_FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        let wait = doubled
            .min(BACK_OFF_MAX)
            .mul_f64(self.jitter.random_range(0.0..=1.0));
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                planned = self.ticker.tick() => self.tick(planned),
            }
        }
    }

    /// Publishes `offline`, waits until the broker has it, and disconnects.
    async fn farewell(&mut self, events: &mut EventLoop) -> Result<(), ConnectionError> {
        if !self.connected {
            return Ok(());
        }
        self.waiting = None;
        while !self.publish_status(Status::Offline) {
            self.handle(&events.poll().await?);
        }
        // It is the last message of the queue, so its identifier is the one sent when the queue is empty.
        let mut identifier = None;
        loop {
            let event = events.poll().await?;
            self.handle(&event);
            match event {
                Event::Outgoing(Outgoing::Publish(id)) if self.queued == 0 => identifier = Some(id),
                Event::Incoming(Packet::PubAck(ack)) if identifier == Some(ack.pkid) => break,
                _ => (),
            }
        }
        if self.client.try_disconnect().is_ok() {
            while !matches!(events.poll().await?, Event::Outgoing(Outgoing::Disconnect)) {}
        }
        Ok(())
    }

    fn leave(&self) {
        if self.connected {
            self.shared.metrics.connected.dec();
        }
        self.shared.metrics.vehicles.dec();
    }
}

/// Ticks at the interval, spread over it so that the vehicles take turns: multiples of the golden ratio leave no gaps
/// and no bunches, however many there are.
fn ticker(shared: &Shared, index: u32) -> Interval {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let interval = shared.config.interval();
    let phase = interval.mul_f64((f64::from(index) * GOLDEN).fract());
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
