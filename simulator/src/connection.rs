//! One vehicle's connection to the broker: one task, which connects, serves the vehicle's agent, and connects again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use fleet::Topics;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use service::{Shutdown, admin::Ready};
use tokio::time::{Instant, sleep, timeout};

use crate::agent::Agent;
use crate::checkpoint::Checkpoint;
use crate::client::{Client, Lean, Rumqtt};
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::router::Router;
use crate::vehicle::Vehicle;

/// The first and the longest wait before connecting again; each is drawn between 0 and its bound, so that a fleet that
/// lost its broker does not come back all at once.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(20);

/// How long leaving may take: `offline` has to be acknowledged.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// What all connections of a fleet share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) client: config::Client,
    pub(crate) topics: Topics,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) router: Arc<Router>,
    pub(crate) broker: Broker,
    /// Where the state is kept, if it is.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// When the fleet started; ticks are spread from here.
    pub(crate) started: Instant,
}

/// Whether the broker is there, as the fleet as a whole sees it: said once per change, not once per vehicle.
pub(crate) struct Broker {
    address: String,
    state: AtomicU8,
    refuses_commands: AtomicBool,
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
            refuses_commands: AtomicBool::new(false),
            ready,
        }
    }

    pub(crate) fn is_there(&self) {
        if self.state.swap(Self::THERE, Ordering::Relaxed) != Self::THERE {
            self.ready.set(Ok(()));
            tracing::info!(broker = %self.address, "vehicles are connecting");
        }
    }

    pub(crate) fn refuses_commands(&self, reason: &dyn std::fmt::Display) {
        if !self.refuses_commands.swap(true, Ordering::Relaxed) {
            tracing::warn!(broker = %self.address, %reason,
                "vehicles may not subscribe to their commands, and take none");
        }
    }

    pub(crate) fn is_away(&self, error: &anyhow::Error) {
        if self.state.swap(Self::AWAY, Ordering::Relaxed) != Self::AWAY {
            self.ready
                .set(Err(format!("no connection to {}", self.address)));
            tracing::warn!(broker = %self.address, error = format!("{error:#}"),
                "no vehicle is connected; trying again");
        }
    }
}

/// Drives one vehicle until `shutdown`, then says goodbye.
pub(crate) async fn run(vehicle: Vehicle, index: u32, shared: Arc<Shared>, shutdown: Shutdown) {
    let agent = Agent::new(vehicle, index, Arc::clone(&shared));
    match shared.client {
        config::Client::Rumqttc => follow(Rumqtt::new(&agent), agent, index, shutdown).await,
        config::Client::Lean => follow(Lean::default(), agent, index, shutdown).await,
    }
}

async fn follow(mut client: impl Client, mut agent: Agent, index: u32, shutdown: Shutdown) {
    let mut jitter = ChaCha8Rng::seed_from_u64(agent.shared.config.seed);
    // Apart from the streams that decide where vehicles go.
    jitter.set_stream(u64::from(index) | 1 << 63);
    let mut failures = 0;
    loop {
        let error = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            error = client.serve(&mut agent) => error,
        };
        failures = if agent.is_connected() {
            0
        } else {
            failures + 1
        };
        agent.lost(&error);
        let wait = back_off(failures, &mut jitter);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = drive_on(&mut agent, wait) => (),
        }
    }
    if agent.is_connected() {
        agent.say_goodbye();
        // A broker that does not answer in time will send the Last Will.
        let _in_time = timeout(FAREWELL, client.leave(&mut agent)).await;
    }
    agent.left();
}

fn back_off(failures: u32, jitter: &mut ChaCha8Rng) -> Duration {
    let doubled = BACK_OFF_FIRST.saturating_mul(1 << failures.min(10));
    doubled
        .min(BACK_OFF_MAX)
        .mul_f64(jitter.random_range(0.0..=1.0))
}

/// Without a connection the vehicle moves all the same.
async fn drive_on(agent: &mut Agent, wait: Duration) {
    let until = sleep(wait);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => return,
            () = agent.tick() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_does_not_come_back_all_at_once() {
        let mut jitter = ChaCha8Rng::seed_from_u64(1);
        for (failures, longest) in [
            (0, BACK_OFF_FIRST),
            (1, Duration::from_secs(1)),
            (3, Duration::from_secs(4)),
            (30, BACK_OFF_MAX),
        ] {
            let waits: Vec<Duration> = (0..1_000)
                .map(|_| back_off(failures, &mut jitter))
                .collect();
            assert!(waits.iter().all(|wait| *wait <= longest));
            for part in 0..10 {
                let (from, to) = (longest * part / 10, longest * (part + 1) / 10);
                let count = waits.iter().filter(|w| (from..to).contains(*w)).count();
                assert!((60..140).contains(&count), "{count} of 1000");
            }
        }
    }
}
