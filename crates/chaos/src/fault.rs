//! Faults, and the order in which they come: from a seed, without looking at a clock.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A process that faults happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A broker, by its number from 0.
    Broker(usize),
    /// A Kafka node, by its number from 0.
    Kafka(usize),
}

impl fmt::Display for Target {
    /// From 1, as nodes are named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(node) => write!(f, "broker-{}", node + 1),
            Self::Kafka(node) => write!(f, "kafka-{}", node + 1),
        }
    }
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// SIGKILL; started again after a while.
    Kill,
    /// SIGSTOP and SIGCONT, before anybody takes the node for dead.
    ShortPause,
    /// SIGSTOP and SIGCONT, after the node was taken for dead: a broker's heartbeat lapses after 5 s, a Kafka node's
    /// after 9 s.
    LongPause,
    /// SIGTERM, and started again.
    Restart,
}

/// All of them.
pub const ALL_HARMS: [Harm; 4] = [Harm::Kill, Harm::ShortPause, Harm::LongPause, Harm::Restart];

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::ShortPause => "short-pause",
            Self::LongPause => "long-pause",
            Self::Restart => "restart",
        })
    }
}

/// Which faults a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultKind {
    /// Of Kafka nodes, not of brokers.
    pub of_kafka: bool,
    /// What happens.
    pub harm: Harm,
}

impl FaultKind {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let of = |of_kafka| ALL_HARMS.map(|harm| Self { of_kafka, harm });
        [of(false), of(true)].concat()
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.of_kafka { "kafka" } else { "broker" };
        write!(f, "{whose}-{}", self.harm)
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::all();
        let found = all.iter().find(|kind| kind.to_string() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("none of {}", names.join(", "))
        })
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// How long all is well in its lane before.
    pub(crate) after: Duration,
    pub(crate) target: Target,
    pub(crate) harm: Harm,
    /// How long the process is away; a restart is as short as can be.
    pub(crate) lasting: Duration,
}

/// Faults that come one after the other: of one broker, or of one Kafka node at a time. How many there are of them in a
/// run depends on the machine; which they are, only on the seed.
pub(crate) struct Lane {
    rng: ChaCha8Rng,
    targets: Vec<Target>,
    harms: Vec<Harm>,
}

impl Lane {
    /// Of one broker.
    pub(crate) fn of_broker(seed: u64, node: usize, kinds: &[FaultKind]) -> Self {
        Self::new(seed, node as u64 + 1, vec![Target::Broker(node)], kinds)
    }

    /// Of all Kafka nodes: two of three in sync is what an acknowledgement needs.
    pub(crate) fn of_kafka(seed: u64, nodes: usize, kinds: &[FaultKind]) -> Self {
        Self::new(seed, 0, (0..nodes).map(Target::Kafka).collect(), kinds)
    }

    fn new(seed: u64, stream: u64, targets: Vec<Target>, kinds: &[FaultKind]) -> Self {
        let of_kafka = matches!(targets[..], [Target::Kafka(_), ..]);
        let kinds = kinds.iter().filter(|kind| kind.of_kafka == of_kafka);
        let harms = kinds.map(|kind| kind.harm).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self {
            rng,
            targets,
            harms,
        }
    }
}

impl Iterator for Lane {
    type Item = Fault;

    /// Ends only where no fault is wanted.
    fn next(&mut self) -> Option<Fault> {
        let target = *self.targets.choose(&mut self.rng)?;
        let harm = *self.harms.choose(&mut self.rng)?;
        let of_kafka = matches!(target, Target::Kafka(_));
        let lapse: Range<u64> = if of_kafka {
            10_000..14_000
        } else {
            6_000..12_000
        };
        let after = if of_kafka {
            2_000..8_000
        } else {
            3_000..12_000
        };
        let lasting = match harm {
            Harm::Restart => 0..1,
            Harm::ShortPause => 200..3_000,
            Harm::LongPause => lapse,
            // Back before it was missed, or after its work was taken over.
            Harm::Kill if self.rng.random_bool(0.5) => 0..1_000,
            Harm::Kill => 6_000..9_000,
        };
        Some(Fault {
            after: Duration::from_millis(self.rng.random_range(after)),
            target,
            harm,
            lasting: Duration::from_millis(self.rng.random_range(lasting)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_says_which_faults_come() {
        let all = FaultKind::all();
        let of = |seed| {
            let broker = Lane::of_broker(seed, 0, &all).take(50);
            let kafka = Lane::of_kafka(seed, 3, &all).take(50);
            broker.chain(kafka).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        for harm in ALL_HARMS {
            assert!(of(1)[..50].iter().any(|fault| fault.harm == harm));
        }
        assert!(of(1)[..50].iter().all(|f| f.target == Target::Broker(0)));
        for node in 0..3 {
            assert!(of(1)[50..].iter().any(|f| f.target == Target::Kafka(node)));
        }
    }

    #[test]
    fn a_kind_is_read_by_its_name() {
        for kind in FaultKind::all() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("broker-flood".parse::<FaultKind>().is_err());
    }

    #[test]
    fn only_what_is_wanted_comes() {
        let kinds = ["broker-kill".parse().unwrap()];
        assert!(
            Lane::of_broker(1, 0, &kinds)
                .take(20)
                .all(|fault| fault.harm == Harm::Kill)
        );
        assert_eq!(Lane::of_kafka(1, 3, &kinds).next(), None);
    }
}
