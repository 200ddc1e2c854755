//! When an alert of a vehicle begins and ends. Pure.

use fleet::AlertKind;
use serde::{Deserialize, Serialize};

use crate::totals::Vehicle;

/// So many percent of the limit are not speeding yet: a speedometer's share. A guess.
const TOLERANCE_PERCENT: u64 = 10;

/// When to alert.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A vehicle that has been silent for so long is offline and leaves the totals.
    pub silent_after_ms: u64,
    /// One that has been standing for so long is stopped.
    pub stopped_after_ms: u64,
}

/// The alerts of one vehicle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// Since when it stands, by its clock.
    standing_since_ms: Option<u64>,
    /// By kind, those that are on: when they began.
    began_ms: [Option<u64>; AlertKind::ALL.len()],
}

/// An alert begins, or, with a time at which it did, ends. Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub kind: AlertKind,
    /// Since when it is so.
    pub began_ms: u64,
    /// Until when it was.
    pub ended_ms: Option<u64>,
}

impl Alerts {
    /// Whether there is such an alert now.
    pub fn is_on(&self, kind: AlertKind) -> bool {
        self.began_ms[kind as usize].is_some()
    }

    /// A position has come.
    pub fn moved(&mut self, vehicle: &Vehicle, limits: &Limits, changes: &mut Vec<Changed>) {
        let now_ms = vehicle.timestamp_ms;
        self.set(AlertKind::Offline, None, now_ms, changes);

        self.standing_since_ms = match vehicle.is_standing() {
            true => Some(self.standing_since_ms.unwrap_or(now_ms)),
            false => None,
        };
        let stopped = self
            .standing_since_ms
            .filter(|since_ms| now_ms >= since_ms.saturating_add(limits.stopped_after_ms));
        self.set(AlertKind::Stopped, stopped, now_ms, changes);

        // It ends at the limit, not at the tolerance, so that it does not begin and end again and again.
        let percent = match self.is_on(AlertKind::Speeding) {
            true => 100,
            false => 100 + TOLERANCE_PERCENT,
        };
        let is_speeding = vehicle.limit_m_per_h.is_some_and(|limit| {
            u128::from(vehicle.speed_m_per_h) * 100 > u128::from(limit) * u128::from(percent)
        });
        self.set(
            AlertKind::Speeding,
            is_speeding.then_some(now_ms),
            now_ms,
            changes,
        );
    }

    /// It is offline: since its newest position, and what else there was is not known any more.
    pub fn silent(&mut self, vehicle: &Vehicle, changes: &mut Vec<Changed>) {
        let now_ms = vehicle.timestamp_ms;
        self.standing_since_ms = None;
        self.set(AlertKind::Stopped, None, now_ms, changes);
        self.set(AlertKind::Speeding, None, now_ms, changes);
        self.set(AlertKind::Offline, Some(now_ms), now_ms, changes);
    }

    /// It is gone: all end.
    pub fn gone(&mut self, now_ms: u64, changes: &mut Vec<Changed>) {
        for kind in AlertKind::ALL {
            self.set(kind, None, now_ms, changes);
        }
    }

    fn set(
        &mut self,
        kind: AlertKind,
        began_ms: Option<u64>,
        now_ms: u64,
        changes: &mut Vec<Changed>,
    ) {
        let on = &mut self.began_ms[kind as usize];
        match (*on, began_ms) {
            (None, Some(began_ms)) => {
                *on = Some(began_ms);
                changes.push(Changed {
                    kind,
                    began_ms,
                    ended_ms: None,
                });
            }
            (Some(began_ms), None) => {
                *on = None;
                changes.push(Changed {
                    kind,
                    began_ms,
                    // A clock may have been set back.
                    ended_ms: Some(now_ms.max(began_ms)),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;

    const LIMITS: Limits = Limits {
        silent_after_ms: 30_000,
        stopped_after_ms: 5_000,
    };

    /// What a position at a time with a speed and a limit, in km/h, changes: kind, began, ended.
    fn moved(alerts: &mut Alerts, at: u64, speed: u64, limit: Option<u64>) -> Vec<String> {
        let mut changes = Vec::new();
        let vehicle = Vehicle {
            timestamp_ms: at,
            speed_m_per_h: speed * 1000,
            limit_m_per_h: limit.map(|limit| limit * 1000),
            ..sample()
        };
        alerts.moved(&vehicle, &LIMITS, &mut changes);
        told(&changes)
    }

    fn told(changes: &[Changed]) -> Vec<String> {
        changes
            .iter()
            .map(|changed| {
                let ended = changed.ended_ms.map_or(String::new(), |at| at.to_string());
                format!("{} {}-{ended}", changed.kind, changed.began_ms)
            })
            .collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn speeding_begins_above_the_tolerance_and_ends_at_the_limit() {
        let mut alerts = Alerts::default();
        assert_eq!(moved(&mut alerts, 1, 90, None), NOTHING);
        assert_eq!(moved(&mut alerts, 2, 55, Some(50)), NOTHING);
        assert_eq!(moved(&mut alerts, 3, 56, Some(50)), ["speeding 3-"]);
        assert_eq!(moved(&mut alerts, 4, 51, Some(50)), NOTHING);
        assert!(alerts.is_on(AlertKind::Speeding));
        assert_eq!(moved(&mut alerts, 5, 50, Some(50)), ["speeding 3-5"]);
        assert_eq!(moved(&mut alerts, 6, 60, Some(50)), ["speeding 6-"]);
        assert_eq!(moved(&mut alerts, 7, 60, None), ["speeding 6-7"]);
    }

    #[test]
    fn stopped_begins_after_a_time_and_since_it_stood() {
        let mut alerts = Alerts::default();
        assert_eq!(moved(&mut alerts, 1_000, 0, None), NOTHING);
        assert_eq!(moved(&mut alerts, 5_999, 0, None), NOTHING);
        assert_eq!(moved(&mut alerts, 6_000, 0, None), ["stopped 1000-"]);
        assert_eq!(moved(&mut alerts, 7_000, 0, None), NOTHING);
        assert_eq!(moved(&mut alerts, 8_000, 10, None), ["stopped 1000-8000"]);
        assert_eq!(moved(&mut alerts, 9_000, 0, None), NOTHING);
    }

    #[test]
    fn offline_ends_the_others_and_ends_with_the_next_position() {
        let mut alerts = Alerts::default();
        assert_eq!(moved(&mut alerts, 1_000, 90, Some(50)), ["speeding 1000-"]);
        let mut changes = Vec::new();
        let vehicle = Vehicle {
            timestamp_ms: 1_000,
            ..sample()
        };
        alerts.silent(&vehicle, &mut changes);
        alerts.silent(&vehicle, &mut changes);
        assert_eq!(told(&changes), ["speeding 1000-1000", "offline 1000-"]);
        assert_eq!(moved(&mut alerts, 900, 20, None), ["offline 1000-1000"]);
    }

    #[test]
    fn a_vehicle_that_is_gone_has_none() {
        let mut alerts = Alerts::default();
        moved(&mut alerts, 1_000, 0, None);
        moved(&mut alerts, 9_000, 0, None);
        let mut changes = Vec::new();
        alerts.gone(10_000, &mut changes);
        assert_eq!(told(&changes), ["stopped 1000-10000"]);
        assert!(!alerts.is_on(AlertKind::Stopped));
    }
}
