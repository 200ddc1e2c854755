//! The consumer groups of the node: membership in memory, committed offsets on disk.

mod group;
mod offsets;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

pub(crate) use group::{Group, Join, JoinAnswer, Refused, State, SyncAnswer};
pub(crate) use offsets::{Committed, Place};

use crate::topics::Topic;
use offsets::Offsets;

/// Kafka's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(6)..=Duration::from_secs(1800);
/// Kafka's `offsets.retention.minutes`, of a group without members.
const OFFSETS_RETENTION_MS: i64 = 7 * 86_400_000;

#[derive(Debug)]
pub(crate) struct Groups {
    state: Mutex<(BTreeMap<String, Group>, Offsets)>,
    /// A deadline may be earlier than the timer thinks.
    changed: Notify,
}

/// A group as the admin requests show it.
#[derive(Debug, Default)]
pub(crate) struct Description {
    pub(crate) state: State,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

#[derive(Debug)]
pub(crate) struct MemberDescription {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

impl Groups {
    pub(crate) fn open(topic: Arc<Topic>) -> io::Result<Groups> {
        let state = Mutex::new((BTreeMap::new(), Offsets::open(topic)?));
        Ok(Groups {
            state,
            changed: Notify::new(),
        })
    }

    pub(crate) fn join(
        &self,
        group_id: &str,
        join: Join,
    ) -> Result<oneshot::Receiver<JoinAnswer>, Refused> {
        if group_id.is_empty() {
            return Err((ResponseError::InvalidGroupId, join.member_id));
        }
        if !SESSION_TIMEOUT.contains(&join.session_timeout) {
            return Err((ResponseError::InvalidSessionTimeout, join.member_id));
        }
        let (groups, _) = &mut *self.state.lock();
        let result = groups
            .entry(group_id.to_owned())
            .or_default()
            .join(join, Instant::now());
        self.changed.notify_one();
        result
    }

    pub(crate) fn sync(
        &self,
        group_id: &str,
        member_id: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<oneshot::Receiver<SyncAnswer>, ResponseError> {
        let result = self.with(group_id, |group| {
            group.sync(member_id, generation, assignments, Instant::now())
        });
        self.changed.notify_one();
        result
    }

    pub(crate) fn heartbeat(
        &self,
        group_id: &str,
        member_id: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.with(group_id, |group| {
            group.heartbeat(member_id, generation, Instant::now())
        })
    }

    pub(crate) fn leave(
        &self,
        group_id: &str,
        member_id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        let result = self.with(group_id, |group| {
            group.leave(member_id, instance, Instant::now())
        });
        self.changed.notify_one();
        result
    }

    fn with<T>(
        &self,
        group_id: &str,
        act: impl FnOnce(&mut Group) -> Result<T, ResponseError>,
    ) -> Result<T, ResponseError> {
        act(self
            .state
            .lock()
            .0
            .get_mut(group_id)
            .ok_or(ResponseError::UnknownMemberId)?)
    }

    /// Whether offsets may be committed: by a member in its generation, or by anyone while the group has no members.
    pub(crate) fn check_commit(
        &self,
        group_id: &str,
        member_id: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let (groups, _) = &*self.state.lock();
        match groups
            .get(group_id)
            .filter(|group| !group.members.is_empty())
        {
            None if generation < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
            Some(group) => {
                group.check_member(member_id, generation)?;
                let is_between = group.state == State::CompletingRebalance;
                if is_between {
                    Err(ResponseError::RebalanceInProgress)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// On disk when this returns.
    pub(crate) fn commit(
        &self,
        group_id: &str,
        offsets: Vec<(Place, Committed)>,
    ) -> Result<(), ResponseError> {
        self.state.lock().1.commit(group_id, offsets)
    }

    pub(crate) fn committed(&self, group_id: &str) -> BTreeMap<Place, Committed> {
        self.state
            .lock()
            .1
            .of(group_id)
            .cloned()
            .unwrap_or_default()
    }

    /// Id, protocol type and state of every group, by id.
    pub(crate) fn list(&self) -> Vec<(String, String, State)> {
        let (groups, offsets) = &*self.state.lock();
        let mut all: BTreeMap<&String, (String, State)> = offsets
            .groups()
            .map(|id| (id, (String::new(), State::Empty)))
            .collect();
        all.extend(
            groups
                .iter()
                .map(|(id, group)| (id, (group.protocol_type.clone(), group.state))),
        );
        all.into_iter()
            .map(|(id, (protocol_type, state))| (id.clone(), protocol_type, state))
            .collect()
    }

    pub(crate) fn describe(&self, group_id: &str) -> Option<Description> {
        let (groups, offsets) = &*self.state.lock();
        let Some(group) = groups.get(group_id) else {
            return offsets.of(group_id).map(|_| Description::default());
        };
        let member = |(id, member): (&String, &group::Member)| MemberDescription {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(group.protocol.as_deref()),
            assignment: member.assignment.clone(),
        };
        Some(Description {
            state: group.state,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone().unwrap_or_default(),
            members: group.members.iter().map(member).collect(),
        })
    }

    pub(crate) fn delete(&self, group_id: &str) -> Result<(), ResponseError> {
        let (groups, offsets) = &mut *self.state.lock();
        if groups.get(group_id).is_some_and(|group| !group.is_idle()) {
            return Err(ResponseError::NonEmptyGroup);
        }
        let had_members = groups.remove(group_id).is_some();
        if !had_members && offsets.of(group_id).is_none() {
            return Err(ResponseError::GroupIdNotFound);
        }
        offsets.remove(|group, _, _| group == group_id)
    }

    /// Offsets of a deleted topic mean nothing to the next topic of its name.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<(), ResponseError> {
        self.state.lock().1.remove(|_, place, _| place.0 == topic)
    }

    /// Forgets groups without members and the offsets they left long ago.
    pub(crate) fn expire(&self, now_ms: i64) -> Result<(), ResponseError> {
        let (groups, offsets) = &mut *self.state.lock();
        groups.retain(|_, group| !group.is_idle());
        offsets.remove(|group, _, committed| {
            !groups.contains_key(group) && now_ms - committed.committed_ms > OFFSETS_RETENTION_MS
        })
    }

    /// Fires the timers of all groups, for ever; sleeps while there is nothing to do.
    pub(crate) async fn run_timers(&self) {
        loop {
            let next = self
                .state
                .lock()
                .0
                .values()
                .filter_map(Group::poll_timeout)
                .min();
            match next {
                None => self.changed.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = self.changed.notified() => continue,
                        () = tokio::time::sleep_until(at.into()) => {}
                    }
                    let now = Instant::now();
                    self.state
                        .lock()
                        .0
                        .values_mut()
                        .for_each(|group| group.handle_timeout(now));
                }
            }
        }
    }
}
