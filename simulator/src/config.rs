//! The settings of the simulator: each is a flag and an environment variable.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use fleet::Kind;

use crate::motion::Duty;

/// Drives vehicles along the roads of an OpenStreetMap file and publishes their positions over MQTT.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "simulator", version)]
pub struct Config {
    /// Map to drive on [default: data/manhattan.osm.pbf for taxis, data/italy.osm.pbf for trucks].
    #[arg(long, env = "MAP", value_name = "FILE.osm.pbf")]
    pub map: Option<PathBuf>,
    /// What drives where, as a file: several fleets on one map (the format: data/README.md).
    #[arg(long, env = "SCENARIO", value_name = "FILE.toml",
          conflicts_with_all = ["map", "kind", "vehicles"])]
    pub scenario: Option<PathBuf>,
    /// Where prepared maps are kept [default: beside the map, or the system's temporary folder where that is
    /// read-only].
    #[arg(long, env = "MAP_CACHE", value_name = "DIR")]
    pub map_cache: Option<PathBuf>,
    /// What drives: taxi or truck.
    #[arg(long, env = "KIND", default_value_t = Kind::Taxi)]
    pub kind: Kind,
    /// How many vehicles.
    #[arg(long, env = "VEHICLES_TOTAL_NUMBER", value_name = "N", default_value_t = 200,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=crate::identity::PLATES_MAX as u64))]
    pub vehicles: u32,
    /// How many of them, from the first on, also publish on `visible_vehicle_updates`.
    #[arg(
        long,
        env = "VEHICLES_VISIBLE_NUMBER",
        value_name = "N",
        default_value_t = 15
    )]
    pub visible: u32,
    /// Decides places, trips and passengers: the same seed on the same map gives the same fleet.
    #[arg(long, env = "SEED", value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How much faster than on the wall clock time passes for the vehicles: 0.1 to 100. Timestamps are of the wall
    /// clock all the same; speeds and etaSeconds are by the vehicles' clocks.
    #[arg(long, env = "SPEED", value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// When it is for the vehicles when they begin: demand differs by the hour.
    #[arg(
        long,
        env = "START_TIME",
        value_name = "HH:MM",
        default_value = "08:00"
    )]
    pub start_time: TimeOfDay,
    /// The longest a truck is driven without a break, in minutes; 0 for no breaks. The European Union's rule is the
    /// default (Regulation (EC) No 561/2006, article 7).
    #[arg(long, env = "DRIVE_MAX_MIN", value_name = "MINUTES", default_value_t = 270,
          value_parser = RangedU64ValueParser::<u32>::new().range(0..=1_440))]
    pub drive_max_min: u32,
    /// The break after that, in minutes.
    #[arg(long, env = "BREAK_MIN", value_name = "MINUTES", default_value_t = 45,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=1_440))]
    pub break_min: u32,
    /// Milliseconds between two positions of a vehicle.
    #[arg(long, env = "INTERVAL_MS", value_name = "MS", default_value_t = 500,
          value_parser = RangedU64ValueParser::<u64>::new().range(20..=60_000))]
    pub interval_ms: u64,
    /// The longest rest between two trips, in seconds.
    #[arg(long, env = "WAIT_MAX", value_name = "SECONDS", default_value_t = 15,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=86_400))]
    pub wait_max: u32,
    /// File in which the state of the vehicles is kept, so that a restart goes on from there; nowhere unless set.
    #[arg(long, env = "STATE_FILE", value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// Vehicles that join per second.
    #[arg(long, env = "CONNECT_RATE", value_name = "N", default_value_t = 250,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=10_000))]
    pub connect_rate: u32,
    /// Host of the MQTT broker.
    #[arg(
        long,
        env = "MQTT_HOST",
        value_name = "HOST",
        default_value = "127.0.0.1"
    )]
    pub mqtt_host: String,
    /// TCP port of the MQTT broker.
    #[arg(long, env = "MQTT_PORT", value_name = "PORT", default_value_t = 1883)]
    pub mqtt_port: u16,
    /// User to connect as; anonymous unless set.
    #[arg(long, env = "MQTT_USERNAME", value_name = "NAME")]
    pub mqtt_username: Option<String>,
    /// Password of that user; better in the variable, since a command line can be seen by others.
    #[arg(
        long,
        env = "MQTT_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub mqtt_password: Option<Secret>,
    /// Quality of service of positions: 0 or 1.
    #[arg(long, env = "QOS", default_value_t = 0,
          value_parser = RangedU64ValueParser::<u8>::new().range(0..=1))]
    pub qos: u8,
    /// Who speaks MQTT for the vehicles: rumqttc, lean, or auto, which takes rumqttc for fleets that it can carry.
    #[arg(long, env = "CLIENT", value_name = "CLIENT", default_value = "auto")]
    pub client: ClientChoice,
    /// What all MQTT topics start with.
    #[arg(
        long,
        env = "TOPIC_PREFIX",
        value_name = "PREFIX",
        default_value = fleet::topics::PREFIX
    )]
    pub topic_prefix: String,
    /// Port of `/live`, `/ready` and `/metrics`; 0 picks a free one.
    #[arg(
        long,
        env = "SIMULATOR_METRICS_PORT",
        value_name = "PORT",
        default_value_t = 8091
    )]
    pub metrics_port: u16,
    /// Address that port listens on.
    #[arg(
        long,
        env = "SIMULATOR_LISTEN_ADDRESS",
        value_name = "IP",
        default_value = "127.0.0.1"
    )]
    pub listen_address: IpAddr,
}

impl Config {
    /// The map to drive on: the one that was asked for, or the shipped one for this kind of vehicle.
    pub fn map_path(&self) -> PathBuf {
        self.map.clone().unwrap_or_else(|| {
            PathBuf::from(match self.kind {
                Kind::Taxi => "data/manhattan.osm.pbf",
                Kind::Truck => "data/italy.osm.pbf",
            })
        })
    }

    /// Host and port of the broker.
    pub fn broker(&self) -> (String, u16) {
        (self.mqtt_host.clone(), self.mqtt_port)
    }

    /// Quality of service of positions.
    pub fn qos(&self) -> mqtt::QoS {
        match self.qos {
            0 => mqtt::QoS::AtMostOnce,
            _ => mqtt::QoS::AtLeastOnce,
        }
    }

    /// What drivers of trucks keep to.
    pub fn duty(&self) -> Option<Duty> {
        (self.drive_max_min > 0).then(|| Duty {
            drive_s: f64::from(self.drive_max_min) * 60.0,
            break_s: f64::from(self.break_min) * 60.0,
        })
    }

    /// Who speaks MQTT for so many vehicles.
    pub fn client(&self, vehicles: u32) -> Client {
        match self.client {
            ClientChoice::Rumqttc => Client::Rumqttc,
            ClientChoice::Auto if vehicles <= RUMQTTC_VEHICLES_MAX => Client::Rumqttc,
            ClientChoice::Auto | ClientChoice::Lean => Client::Lean,
        }
    }

    /// The time between two positions of a vehicle.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text
        .parse()
        .map_err(|_| "not a number; 0.1 to 100 would be right")?;
    if (0.1..=100.0).contains(&speed) {
        Ok(speed)
    } else {
        Err(format!("{text} is not in 0.1..=100"))
    }
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    minutes: u32,
}

impl TimeOfDay {
    /// Seconds after midnight.
    pub fn seconds(self) -> f64 {
        f64::from(self.minutes) * 60.0
    }
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':');
        let number = |text: &str, below: u32| text.parse::<u32>().ok().filter(|n| *n < below);
        parts
            .and_then(|(h, m)| Some((number(h, 24)?, number(m, 60)?)))
            .map(|(hours, minutes)| Self {
                minutes: hours * 60 + minutes,
            })
            .ok_or_else(|| format!("`{text}` is not a time from 00:00 to 23:59"))
    }
}

/// The largest fleet that `auto` gives to `rumqttc`. Measured with `bench/simulator.sh` at QoS 0 and 2 Hz on a busy
/// machine of 2 cores (2026-11-26): `rumqttc` takes 329 MiB and 28 CPU seconds per million messages at 5,000 vehicles,
/// 1,159 MiB and 27 s at 15,000; the lean client 88 MiB and 23 s, and 237 MiB and 20 s.
pub const RUMQTTC_VEHICLES_MAX: u32 = 5_000;

/// Who speaks MQTT for the vehicles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The `rumqttc` library.
    Rumqttc,
    /// Our own.
    Lean,
}

/// Who shall speak MQTT for the vehicles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientChoice {
    /// By the size of the fleet.
    Auto,
    /// The `rumqttc` library.
    Rumqttc,
    /// Our own.
    Lean,
}

impl FromStr for ClientChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "rumqttc" => Ok(Self::Rumqttc),
            "lean" => Ok(Self::Lean),
            other => Err(format!("`{other}` is none of auto, rumqttc and lean")),
        }
    }
}

/// Text that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[&str]) -> Result<Config, String> {
        let argv = std::iter::once("simulator").chain(flags.iter().copied());
        match service::config::load::<Config>(argv.map(Into::into).collect(), &[]) {
            Ok(settings) => Ok(settings.args),
            Err(service::config::Stop::Bad(bad)) => Err(bad.0),
            Err(service::config::Stop::Print(text)) => Err(text),
        }
    }

    #[test]
    fn bad_settings_are_named_on_one_line() {
        for (flags, expected) in [
            (["--vehicles", "0"], "0 is not in 1..="),
            (["--kind", "boat"], "`boat` is neither taxi nor truck"),
            (["--qos", "2"], "2 is not in 0..=1"),
            (["--speed", "0.01"], "0.01 is not in 0.1..=100"),
            (["--speed", "NaN"], "NaN is not in 0.1..=100"),
            (["--start-time", "24:00"], "`24:00` is not a time from"),
            (["--seed", "x"], "invalid value 'x' for '--seed"),
        ] {
            let error = load(&flags).unwrap_err();
            assert!(error.contains(expected), "`{error}` lacks `{expected}`");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_scenario_says_it_all() {
        let error = load(&["--scenario", "x.toml", "--vehicles", "3"]).unwrap_err();
        assert!(
            error.contains("--scenario") && error.contains("--vehicles"),
            "{error}"
        );
    }

    #[test]
    fn the_map_follows_the_kind_unless_one_is_named() {
        let path = |flags: &[&str]| load(flags).unwrap().map_path();
        assert!(path(&[]).ends_with("manhattan.osm.pbf"));
        assert!(path(&["--kind", "truck"]).ends_with("italy.osm.pbf"));
        assert!(path(&["--map", "x.osm.pbf"]).ends_with("x.osm.pbf"));
    }

    #[test]
    fn the_client_follows_the_size_of_the_fleet_unless_one_is_named() {
        let client = |flags: &[&str], vehicles| load(flags).unwrap().client(vehicles);
        assert_eq!(client(&[], 5_000), Client::Rumqttc);
        assert_eq!(client(&[], 5_001), Client::Lean);
        assert_eq!(client(&["--client", "lean"], 1), Client::Lean);
        assert_eq!(client(&["--client", "rumqttc"], 9_000), Client::Rumqttc);
    }

    #[test]
    fn the_password_is_not_shown() {
        let config = load(&["--mqtt-password", "hunter2"]).unwrap();
        assert_eq!(config.mqtt_password.as_ref().unwrap().reveal(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
