//! One consumer group (the classic protocol): who is in it, and the steps of a rebalance.
//!
//! `Empty → PreparingRebalance (members join) → CompletingRebalance (the leader assigns) → Stable`, and back to
//! preparing whenever a member comes, goes or changes. No clock and no IO here: `now` comes in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

/// Members of one group, with those who were only given an id.
const MEMBERS_MAX: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: Option<String>,
    leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    /// Ids given out that have not joined yet, until when.
    promised: BTreeMap<String, Instant>,
    rebalance_deadline: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    /// Gone unless it is heard of before; not counted while it waits for an answer.
    deadline: Instant,
    joining: Option<oneshot::Sender<JoinAnswer>>,
    syncing: Option<oneshot::Sender<SyncAnswer>>,
}

impl Member {
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let chosen = self
            .protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol);
        chosen
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}

/// A request to join.
#[derive(Debug)]
pub(crate) struct Join {
    /// Empty for a new member.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// Whether a new member gets its id first and has to ask again with it (since version 4).
    pub(crate) id_first: bool,
}

#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// Id, instance id and metadata of everyone, for the leader only.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

pub(crate) type JoinAnswer = Result<Joined, ResponseError>;
pub(crate) type SyncAnswer = Result<Synced, ResponseError>;

/// Why a join is refused at once, and the member id that the answer carries.
pub(crate) type Refused = (ResponseError, String);

impl Group {
    /// Takes a member in, or back; the answer comes when everyone has joined.
    pub(crate) fn join(
        &mut self,
        join: Join,
        now: Instant,
    ) -> Result<oneshot::Receiver<JoinAnswer>, Refused> {
        let member_id = self.admit(&join, now)?;
        let (sender, receiver) = oneshot::channel();
        let known = self.members.get(&member_id);
        let unchanged = known.is_some_and(|member| member.protocols == join.protocols);
        let repeats = match self.state {
            State::CompletingRebalance => unchanged,
            State::Stable => unchanged && self.leader.as_ref() != Some(&member_id),
            State::Empty | State::PreparingRebalance => false,
        };
        let kept_assignment = self
            .members
            .remove(&member_id)
            .map(|member| member.assignment);
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            protocols: join.protocols,
            assignment: kept_assignment.unwrap_or_default(),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            deadline: now + join.session_timeout,
            joining: Some(sender),
            syncing: None,
        };
        self.members.insert(member_id.clone(), member);
        self.protocol_type = join.protocol_type;
        if repeats {
            self.answer_join(&member_id, now);
        } else {
            self.prepare_rebalance(now);
            self.complete_join_if_all_are_there(now);
        }
        Ok(receiver)
    }

    /// Checks a join and settles the member's id.
    fn admit(&mut self, join: &Join, now: Instant) -> Result<String, Refused> {
        let refuse = |error| Err((error, join.member_id.clone()));
        let mut others = self
            .members
            .iter()
            .filter(|(id, _)| **id != join.member_id)
            .map(|(_, member)| member);
        let has_others = others.clone().next().is_some();
        let is_common = |name: &String| {
            others
                .clone()
                .all(|other| other.protocols.iter().any(|(own, _)| own == name))
        };
        if join.protocols.is_empty()
            || has_others && self.protocol_type != join.protocol_type
            || !join.protocols.iter().any(|(name, _)| is_common(name))
        {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        let same_instance =
            |member: &Member| join.instance_id.is_some() && member.instance_id == join.instance_id;
        if !join.member_id.is_empty() {
            if others.any(same_instance) {
                return refuse(ResponseError::FencedInstanceId);
            }
            let is_promised = self.promised.remove(&join.member_id).is_some();
            let is_known = is_promised || self.members.contains_key(&join.member_id);
            return if is_known {
                Ok(join.member_id.clone())
            } else {
                refuse(ResponseError::UnknownMemberId)
            };
        }
        if self.members.len() + self.promised.len() >= MEMBERS_MAX {
            return refuse(ResponseError::GroupMaxSizeReached);
        }
        let id = format!("{}-{}", join.client_id, uuid::Uuid::new_v4());
        // A static member that comes back takes the place of its former self.
        let former = self
            .members
            .iter()
            .find(|(_, member)| same_instance(member))
            .map(|(id, _)| id.clone());
        if let Some(former) = former.and_then(|former| self.members.remove(&former)) {
            answer(former.joining, Err(ResponseError::FencedInstanceId));
            answer(former.syncing, Err(ResponseError::FencedInstanceId));
        } else if join.id_first && join.instance_id.is_none() {
            self.promised.insert(id.clone(), now + join.session_timeout);
            return Err((ResponseError::MemberIdRequired, id));
        }
        Ok(id)
    }

    fn prepare_rebalance(&mut self, now: Instant) {
        if self.state == State::PreparingRebalance {
            return;
        }
        self.state = State::PreparingRebalance;
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max()
            .unwrap_or_default();
        self.rebalance_deadline = Some(now + longest);
        for member in self.members.values_mut() {
            answer(
                member.syncing.take(),
                Err(ResponseError::RebalanceInProgress),
            );
        }
    }

    fn complete_join_if_all_are_there(&mut self, now: Instant) {
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        if self.state == State::PreparingRebalance && all_joined {
            self.complete_join(now);
        }
    }

    /// Starts the next generation with those who have joined.
    fn complete_join(&mut self, now: Instant) {
        self.members.retain(|_, member| member.joining.is_some());
        self.rebalance_deadline = None;
        self.generation += 1;
        if self.members.is_empty() {
            (self.state, self.protocol, self.leader) = (State::Empty, None, None);
            return;
        }
        self.state = State::CompletingRebalance;
        self.protocol = self.elect_protocol();
        if self
            .leader
            .as_ref()
            .is_none_or(|leader| !self.members.contains_key(leader))
        {
            self.leader = self.members.keys().next().cloned();
        }
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            self.answer_join(&id, now);
        }
    }

    /// The protocol that most members like best, of those that all of them know.
    fn elect_protocol(&self) -> Option<String> {
        let is_common = |name: &String| {
            self.members
                .values()
                .all(|m| m.protocols.iter().any(|(own, _)| own == name))
        };
        let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by_key(|(_, votes)| *votes)
            .map(|(name, _)| name.clone())
    }

    fn answer_join(&mut self, member_id: &str, now: Instant) {
        let (leader, protocol) = (
            self.leader.clone().unwrap_or_default(),
            self.protocol.clone(),
        );
        let mut members = Vec::new();
        if leader == member_id {
            let entry = |(id, member): (&String, &Member)| {
                (
                    id.clone(),
                    member.instance_id.clone(),
                    member.metadata(protocol.as_deref()),
                )
            };
            members = self.members.iter().map(entry).collect();
        }
        let joined = Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: protocol.unwrap_or_default(),
            leader,
            member_id: member_id.to_owned(),
            members,
        };
        if let Some(member) = self.members.get_mut(member_id) {
            member.deadline = now + member.session_timeout;
            answer(member.joining.take(), Ok(joined));
        }
    }

    /// Takes the leader's assignments, and hands each member its own.
    pub(crate) fn sync(
        &mut self,
        member_id: &str,
        generation: i32,
        assignments: impl IntoIterator<Item = (String, Bytes)>,
        now: Instant,
    ) -> Result<oneshot::Receiver<SyncAnswer>, ResponseError> {
        self.check_member(member_id, generation)?;
        if self.state == State::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        let (sender, receiver) = oneshot::channel();
        if let Some(member) = self.members.get_mut(member_id) {
            member.syncing = Some(sender);
        }
        if self.state == State::CompletingRebalance && self.leader.as_deref() == Some(member_id) {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
            }
            for (id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.state = State::Stable;
        }
        if self.state == State::Stable {
            for member in self
                .members
                .values_mut()
                .filter(|member| member.syncing.is_some())
            {
                let protocol = self.protocol.clone().unwrap_or_default();
                let (protocol_type, assignment) =
                    (self.protocol_type.clone(), member.assignment.clone());
                member.deadline = now + member.session_timeout;
                answer(
                    member.syncing.take(),
                    Ok(Synced {
                        protocol_type,
                        protocol,
                        assignment,
                    }),
                );
            }
        }
        Ok(receiver)
    }

    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, generation)?;
        if let Some(member) = self.members.get_mut(member_id) {
            member.deadline = now + member.session_timeout;
        }
        if self.state == State::PreparingRebalance {
            Err(ResponseError::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    /// Removes a member by its id or, with an empty id, its instance id.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if self.promised.remove(member_id).is_some() {
            return Ok(());
        }
        let is_instance =
            |member: &Member| instance.is_some() && member.instance_id.as_deref() == instance;
        let id = match self
            .members
            .iter()
            .find(|(_, member)| member_id.is_empty() && is_instance(member))
        {
            Some((id, _)) => id.clone(),
            None => member_id.to_owned(),
        };
        self.members
            .remove(&id)
            .ok_or(ResponseError::UnknownMemberId)?;
        self.members_left(now);
        Ok(())
    }

    fn members_left(&mut self, now: Instant) {
        self.prepare_rebalance(now);
        self.complete_join_if_all_are_there(now);
    }

    /// Whether this member may commit offsets or take part, in this generation.
    pub(crate) fn check_member(
        &self,
        member_id: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if !self.members.contains_key(member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if generation == self.generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    /// Drops members that fell silent and ends a rebalance that took too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.promised.retain(|_, until| *until > now);
        let before = self.members.len();
        self.members
            .retain(|_, member| member.waits() || member.deadline > now);
        if self.members.len() < before {
            self.members_left(now);
        }
        if self
            .rebalance_deadline
            .is_some_and(|deadline| deadline <= now)
        {
            self.complete_join(now);
        }
    }

    /// When `handle_timeout` is to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let silent = self
            .members
            .values()
            .filter(|member| !member.waits())
            .map(|member| member.deadline);
        silent
            .chain(self.promised.values().copied())
            .chain(self.rebalance_deadline)
            .min()
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.promised.is_empty()
    }
}

/// Whoever asked may have gone: then nobody needs the answer.
fn answer<T>(sender: Option<oneshot::Sender<T>>, value: T) {
    if let Some(sender) = sender {
        drop(sender.send(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(member_id: &str) -> Join {
        Join {
            member_id: member_id.into(),
            instance_id: None,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"metadata"))],
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(60),
            id_first: false,
        }
    }

    fn joined(receiver: &mut oneshot::Receiver<JoinAnswer>) -> Joined {
        receiver.try_recv().expect("an answer").expect("joined")
    }

    #[test]
    fn two_members_join_sync_and_one_falls_silent() {
        let (mut group, start) = (Group::default(), Instant::now());
        let first = joined(&mut group.join(join(""), start).unwrap());
        assert_eq!((first.generation, first.members.len()), (1, 1));
        let mut second = group.join(join(""), start).unwrap();
        assert!(
            second.try_recv().is_err(),
            "waits for the first to join again"
        );
        assert_eq!(
            group.heartbeat(&first.member_id, 1, start),
            Err(ResponseError::RebalanceInProgress)
        );
        let mut again = group.join(join(&first.member_id), start).unwrap();
        let (first, second) = (joined(&mut again), joined(&mut second));
        assert_eq!(
            (first.generation, first.members.len(), second.members.len()),
            (2, 2, 0)
        );

        let mut waiting = group.sync(&second.member_id, 2, [], start).unwrap();
        assert!(waiting.try_recv().is_err(), "waits for the leader");
        let assignment = (second.member_id.clone(), Bytes::from_static(b"p1"));
        group
            .sync(&first.member_id, 2, [assignment], start)
            .unwrap();
        assert_eq!(waiting.try_recv().unwrap().unwrap().assignment, "p1");
        assert_eq!(group.state, State::Stable);

        let later = start + Duration::from_secs(9);
        group.heartbeat(&second.member_id, 2, later).unwrap();
        group.handle_timeout(group.poll_timeout().unwrap());
        assert_eq!(
            group.members.keys().collect::<Vec<_>>(),
            [&second.member_id]
        );
        assert_eq!(group.state, State::PreparingRebalance);
        let alone = joined(&mut group.join(join(&second.member_id), later).unwrap());
        assert_eq!((alone.generation, alone.leader), (3, second.member_id));
    }

    #[test]
    fn a_rebalance_goes_on_without_who_does_not_come() {
        let (mut group, start) = (Group::default(), Instant::now());
        let first = joined(&mut group.join(join(""), start).unwrap());
        let mut second = group.join(join(""), start).unwrap();
        group
            .heartbeat(&first.member_id, 1, start + Duration::from_secs(59))
            .unwrap_err();
        group.handle_timeout(start + Duration::from_secs(60));
        assert_eq!(joined(&mut second).members.len(), 1);
    }

    #[test]
    fn a_new_member_gets_its_id_first_and_strangers_are_refused() {
        let (mut group, now) = (Group::default(), Instant::now());
        let (error, id) = group
            .join(
                Join {
                    id_first: true,
                    ..join("")
                },
                now,
            )
            .unwrap_err();
        assert_eq!(error, ResponseError::MemberIdRequired);
        joined(&mut group.join(join(&id), now).unwrap());
        assert_eq!(
            group.join(join("stranger"), now).unwrap_err().0,
            ResponseError::UnknownMemberId
        );
        assert_eq!(
            group.heartbeat(&id, 7, now),
            Err(ResponseError::IllegalGeneration)
        );
        let other = Join {
            protocols: vec![("sticky".into(), Bytes::new())],
            ..join("")
        };
        assert_eq!(
            group.join(other, now).unwrap_err().0,
            ResponseError::InconsistentGroupProtocol
        );
    }

    #[test]
    fn the_last_to_leave_leaves_the_group_empty() {
        let (mut group, now) = (Group::default(), Instant::now());
        let only = joined(&mut group.join(join(""), now).unwrap());
        group.leave(&only.member_id, None, now).unwrap();
        assert_eq!((group.state, group.poll_timeout()), (State::Empty, None));
        assert_eq!(
            group.leave(&only.member_id, None, now),
            Err(ResponseError::UnknownMemberId)
        );
    }
}
