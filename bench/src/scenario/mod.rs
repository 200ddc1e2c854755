//! One file a scenario: what is done, what is measured, and its limit.

pub(crate) mod catch_up;
pub(crate) mod fanout;
pub(crate) mod fleet;
pub(crate) mod idle;
pub(crate) mod ingest;
pub(crate) mod latency;
pub(crate) mod matching;
pub(crate) mod retained;
pub(crate) mod saturate;
pub(crate) mod take_over;
pub(crate) mod telemetry;
pub(crate) mod totals;
pub(crate) mod whole;

use std::time::Duration;

/// What is compared is measured in turn, so often, so that what else the machine does falls on both.
pub(crate) const ROUNDS: usize = 2;

/// What Mosquitto is told, so that it neither drops nor waits where the broker does not.
pub(crate) const NO_LIMITS: &str =
    "max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 32";

/// The CPU time of a server, and what it did for it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    /// Messages that should have come through.
    pub(crate) due: u64,
    pub(crate) lost: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.due += other.due;
        self.lost += other.lost;
    }

    /// CPU seconds per million messages that came through.
    pub(crate) fn per_million(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.due - self.lost).max(1) as f64
    }

    pub(crate) fn note(self) -> String {
        format!("{} of {} lost", self.lost, self.due)
    }
}
