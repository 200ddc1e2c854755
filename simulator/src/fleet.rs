//! The fleet: loads the map, lets the vehicles join, and sees them off.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fleet::{Kind, Topics};
use prometheus_client::registry::Registry;
use service::admin::{self, Ready};
use service::{BadSetting, Shutdown};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::agent::now_ms;
use crate::checkpoint::{self, Checkpoint};
use crate::config::Config;
use crate::connection::{self, Broker, Shared};
use crate::limits;
use crate::map::{self, RoadMap};
use crate::metrics::Metrics;
use crate::router::Router;
use crate::scenario::{self, Places, Scenario};
use crate::world::World;

/// A running fleet.
pub struct Simulator {
    admin_addr: SocketAddr,
    summary: String,
    vehicles: TaskTracker,
    /// None when it was stopped before the map was loaded.
    shared: Option<Arc<Shared>>,
}

/// How long the vehicles have to leave.
const LEAVE: Duration = Duration::from_secs(2);

impl Simulator {
    /// Loads the map and starts the fleet: when this returns, `/ready` and `/metrics` are served and vehicles are
    /// joining. They leave when `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the map can't be used (a [`service::BadSetting`]) or the port is taken.
    pub async fn start(config: Config, shutdown: Shutdown) -> anyhow::Result<Self> {
        let scenario = Scenario::of(&config)?;
        limits::make_room(scenario.vehicles())?;
        if mqtt::TopicName::try_from(config.topic_prefix.as_str()).is_err() {
            return Err(BadSetting(format!(
                "topic prefix `{}` can't begin a topic name: text without + and #, such as fleet/ (--topic-prefix)",
                config.topic_prefix
            ))
            .into());
        }
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let ready = Ready::not_yet("the map is not loaded yet");
        let address = SocketAddr::new(config.listen_address, config.metrics_port);
        let listener =
            service::listen("simulator metrics", "SIMULATOR_METRICS_PORT", address).await?;
        let router = admin::router(Arc::new(registry), ready.clone());
        let admin_addr = admin::serve(listener, router, shutdown.clone())?;

        let (of, cache) = (scenario.clone(), config.map_cache.clone());
        let load = tokio::task::spawn_blocking(move || load_maps(&of, cache.as_deref()));
        let maps = tokio::select! {
            biased;
            // A whole country takes minutes; whoever changes their mind does not wait for it.
            () = shutdown.cancelled() => return Ok(Self {
                admin_addr,
                summary: "stopped before the map was loaded".to_owned(),
                vehicles: TaskTracker::new(),
                shared: None,
            }),
            maps = load => maps.context("loading the map failed")??,
        };
        let took = maps.iter().map(|map| map.took.as_secs_f64()).sum();
        metrics.map_load_seconds.set(took);
        let lengths_km = maps.iter().map(|map| map.roads.length_km());
        metrics
            .map_road_metres
            .set(lengths_km.fold(0.0, f64::max) * 1e3);
        let summary = summary(&scenario, &maps);
        ready.set(Err(format!(
            "no connection to {}:{} yet",
            config.mqtt_host, config.mqtt_port
        )));

        let fleets = worlds(&scenario, &maps, &config);
        let state_file = config.state_file.as_deref();
        let checkpoint = state_file
            .map(|path| Checkpoint::open(path, &fleets))
            .transpose()?;
        let shared = Arc::new(Shared {
            checkpoint,
            client: config.client(scenario.vehicles()),
            topics: Topics::new(&config.topic_prefix),
            router: Arc::new(Router::new(Arc::clone(&metrics))),
            broker: Broker::new(&config, ready),
            metrics,
            started: Instant::now(),
            config,
        });
        let vehicles = TaskTracker::new();
        tokio::spawn(keep_state(Arc::clone(&shared), shutdown.clone()));
        let joining = join(fleets, Arc::clone(&shared), vehicles.clone(), shutdown);
        vehicles.spawn(joining);
        Ok(Self {
            admin_addr,
            summary,
            vehicles,
            shared: Some(shared),
        })
    }

    /// Where `/live`, `/ready` and `/metrics` are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// One line: how many vehicles, on how much road, and how long the map took.
    pub fn summary(&self) -> String {
        self.summary.clone()
    }

    /// Waits, after the shutdown, until the vehicles have said `offline` and disconnected: at most two seconds. A fleet
    /// that is slower is logged, and the broker sends its Last Wills. Then the state is written, where it is kept.
    ///
    /// # Errors
    /// When the state can't be written.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.vehicles.close();
        if timeout(LEAVE, self.vehicles.wait()).await.is_err() {
            tracing::warn!(
                vehicles = self.vehicles.len(),
                "some vehicles could not say goodbye in time"
            );
        }
        match self.shared {
            Some(shared) => write_state(&shared).await,
            None => Ok(()),
        }
    }
}

/// Writes the state again and again.
async fn keep_state(shared: Arc<Shared>, shutdown: Shutdown) {
    let Some(checkpoint) = &shared.checkpoint else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = sleep(checkpoint::EVERY) => (),
        }
        checkpoint.ask();
        // All have had a tick by then.
        sleep(shared.config.interval() * 2).await;
        if let Err(error) = write_state(&shared).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the state is not kept; trying again"
            );
        }
    }
}

async fn write_state(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || match &shared.checkpoint {
        Some(checkpoint) => checkpoint.write(),
        None => Ok(()),
    })
    .await?
    .context("can't write the state file")
}

/// Lets the vehicles join, so many per second.
async fn join(
    fleets: Vec<(Range<u32>, Arc<World>)>,
    shared: Arc<Shared>,
    vehicles: TaskTracker,
    shutdown: Shutdown,
) {
    let mut ticker = interval(Duration::from_millis(20));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rate = f64::from(shared.config.connect_rate);
    // Numbers go on from here, so that they never count backwards over a restart.
    let sequence = now_ms();
    let all = fleets.last().map_or(0, |(numbers, _)| numbers.end);
    let mut joined = 0;
    while joined < all {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = ticker.tick() => (),
        }
        let due = (shared.started.elapsed().as_secs_f64() * rate) as u32 + 1;
        for index in joined..due.min(all) {
            let Some((_, world)) = fleets.iter().find(|(numbers, _)| numbers.contains(&index))
            else {
                continue;
            };
            let world = Arc::clone(world);
            let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
            vehicles.spawn(async move {
                let saved = shared.checkpoint.as_ref().and_then(|c| c.saved(index));
                let placed = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    placed = shared.router.place(world, index, saved, sequence) => placed,
                };
                let Some(vehicle) = placed else {
                    shared.metrics.route_failures.inc();
                    tracing::warn!(index, "a vehicle found no route on this map and stays away");
                    return;
                };
                shared.metrics.vehicles.inc();
                shared.metrics.trips.inc();
                connection::run(vehicle, index, shared, shutdown).await;
            });
        }
        joined = due.min(all);
    }
}

/// A map as one kind of vehicle sees it.
struct Map {
    kind: Kind,
    roads: Arc<RoadMap>,
    cached: bool,
    took: Duration,
}

/// Loads the map for each kind of vehicle.
fn load_maps(scenario: &Scenario, cache: Option<&Path>) -> Result<Vec<Map>, BadSetting> {
    let mut maps: Vec<Map> = Vec::new();
    for fleet in &scenario.fleets {
        if maps.iter().any(|map| map.kind == fleet.kind) {
            continue;
        }
        let loaded = map::load(&scenario.map, cache.map(Path::to_owned), fleet.kind)?;
        maps.push(Map {
            kind: fleet.kind,
            roads: Arc::new(loaded.map),
            cached: loaded.cached,
            took: loaded.took,
        });
    }
    Ok(maps)
}

/// The world of each fleet, with the numbers of its vehicles.
fn worlds(scenario: &Scenario, maps: &[Map], config: &Config) -> Vec<(Range<u32>, Arc<World>)> {
    let world = |(numbers, fleet): (Range<u32>, &scenario::Fleet)| {
        let map = maps.iter().find(|map| map.kind == fleet.kind)?;
        let world = World {
            seed: config.seed,
            rest_max_s: f64::from(config.wait_max),
            visible: config.visible,
            start_s: config.start_time.seconds(),
            demand: fleet.demand,
            named_only: fleet.places == Places::Named,
            companies: fleet.companies,
            duty: config.duty().filter(|_| fleet.kind == Kind::Truck),
            ..World::new(Arc::clone(&map.roads), fleet.kind)
        };
        Some((numbers, Arc::new(world)))
    };
    scenario.numbered().filter_map(world).collect()
}

fn summary(scenario: &Scenario, maps: &[Map]) -> String {
    let of_each = maps.iter().map(|map| {
        let fleets = scenario.fleets.iter().filter(|f| f.kind == map.kind);
        let count: u32 = fleets.map(|fleet| fleet.count).sum();
        let sum = |count: fn(&map::Component) -> usize| -> u64 {
            map.roads.components.iter().map(|c| count(c) as u64).sum()
        };
        let named = sum(|c| c.named as usize);
        let unnamed = sum(|c| c.places.len()) - named;
        let vehicles = match map.kind {
            Kind::Taxi => "taxis",
            Kind::Truck => "trucks",
        };
        let junctions = match unnamed {
            0 => String::new(),
            n => format!(" and {} street corners", thousands(n)),
        };
        let how = if map.cached { "ready" } else { "prepared" };
        format!(
            "{} {vehicles} on {} km of road, {} places{junctions} (map {how} in {:.1} s)",
            thousands(u64::from(count)),
            thousands(map.roads.length_km().round() as u64),
            thousands(named),
            map.took.as_secs_f64(),
        )
    });
    of_each.collect::<Vec<_>>().join("; ")
}

/// `12345` as `12,345`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(n), text);
        }
    }
}
