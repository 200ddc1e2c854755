//! What the simulator counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// All metrics of the simulator.
pub(crate) struct Metrics {
    pub(crate) vehicles: Gauge,
    pub(crate) connected: Gauge,
    pub(crate) trips: Counter,
    pub(crate) route_failures: Counter,
    pub(crate) route_seconds: Histogram,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_dropped: Counter,
    pub(crate) commands: Counter,
    pub(crate) commands_refused: Counter,
    pub(crate) replies_dropped: Counter,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) connections_lost: Counter,
    pub(crate) tick_lateness_seconds: Histogram,
    pub(crate) ticks_held: Counter,
    pub(crate) map_load_seconds: Gauge<f64, AtomicU64>,
    pub(crate) map_road_metres: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("simulator");
        // 50 µs to 1.6 s: a city block to a large country.
        let route_seconds = Histogram::new(exponential_buckets(50e-6, 2.0, 16));
        // 1 ms, which is what the timer resolves, to 4 s.
        let tick_lateness_seconds = Histogram::new(exponential_buckets(1e-3, 2.0, 13));
        let metrics = Self {
            vehicles: Gauge::default(),
            connected: Gauge::default(),
            trips: Counter::default(),
            route_failures: Counter::default(),
            route_seconds,
            messages_sent: Counter::default(),
            messages_dropped: Counter::default(),
            commands: Counter::default(),
            commands_refused: Counter::default(),
            replies_dropped: Counter::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
            connections_lost: Counter::default(),
            tick_lateness_seconds,
            ticks_held: Counter::default(),
            map_load_seconds: Gauge::default(),
            map_road_metres: Gauge::default(),
        };
        let m = &metrics;
        registry.register("vehicles", "Vehicles on the road", m.vehicles.clone());
        registry.register(
            "mqtt_connections",
            "Vehicles that are connected to the broker",
            m.connected.clone(),
        );
        registry.register("trips", "Trips begun", m.trips.clone());
        registry.register(
            "route_failures",
            "Trips for which no route was found",
            m.route_failures.clone(),
        );
        registry.register(
            "route_seconds",
            "Time to search a route and plan its drive; its count is the number of routes",
            m.route_seconds.clone(),
        );
        registry.register(
            "mqtt_messages_sent",
            "Messages written to the broker",
            m.messages_sent.clone(),
        );
        registry.register(
            "mqtt_messages_dropped",
            "Positions that a newer one replaced before the connection took them",
            m.messages_dropped.clone(),
        );
        registry.register("commands", "Commands to vehicles", m.commands.clone());
        registry.register(
            "commands_refused",
            "Commands that a vehicle did not carry out",
            m.commands_refused.clone(),
        );
        registry.register(
            "replies_dropped",
            "Answers to commands that were asked for where none go, or for which there was no room",
            m.replies_dropped.clone(),
        );
        registry.register("mqtt_connects", "Connections made", m.connects.clone());
        registry.register(
            "mqtt_connect_failures",
            "Connections that could not be made",
            m.connect_failures.clone(),
        );
        registry.register(
            "mqtt_connections_lost",
            "Connections that broke",
            m.connections_lost.clone(),
        );
        registry.register(
            "tick_lateness_seconds",
            "How much later than planned a vehicle moved",
            m.tick_lateness_seconds.clone(),
        );
        registry.register(
            "ticks_held",
            "Ticks at which a vehicle stood still because its route was still being searched",
            m.ticks_held.clone(),
        );
        registry.register(
            "map_load_seconds",
            "Time to load the map",
            m.map_load_seconds.clone(),
        );
        registry.register(
            "map_road_metres",
            "Length of the roads of the map",
            m.map_road_metres.clone(),
        );
        metrics
    }
}
