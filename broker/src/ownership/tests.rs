use super::*;
use bytes::Bytes;

const ME: Run = 1;
const OTHER: Run = 2;
const LAPSE: Duration = Duration::from_secs(5);

/// One partition of the session topic, as one node reads it.
struct Topic {
    ownership: Ownership,
    next: i64,
    now: Instant,
}

impl Topic {
    fn new() -> Self {
        let mut topic = Self {
            ownership: Ownership::new("me", ME),
            next: 1,
            now: Instant::now(),
        };
        topic.beats("me", ME);
        topic.beats("other", OTHER);
        topic
    }

    /// Returns where the record is, and what follows from it.
    fn has(&mut self, key: &str, value: Option<Vec<u8>>, epoch: Epoch) -> (Epoch, Vec<Event>) {
        let record = Record {
            kafka_topic: "sessions".into(),
            partition: 0,
            offset: self.next,
            timestamp_ms: self.next * 100,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: value.map(Bytes::from),
            headers: vec![(EPOCH.to_owned(), epoch.to_string().into())],
        };
        self.next += 1;
        let events = self.ownership.observe(&record, self.now);
        (record.offset, events)
    }

    fn says(&mut self, name: &str, run: Run, is_dead: bool) -> Vec<Event> {
        let record = match is_dead {
            true => NodeRecord::dead(run),
            false => NodeRecord::alive(run, None),
        };
        let value = serde_json::to_vec(&record).unwrap();
        self.has(&format!("node/{name}"), Some(value), 0).1
    }

    fn beats(&mut self, name: &str, run: Run) -> Vec<Event> {
        self.says(name, run, false)
    }

    fn claims(&mut self, run: Run, is_idle: bool) -> Epoch {
        let node = if run == ME { "me" } else { "other" };
        let claim = ClaimRecord {
            node: node.to_owned(),
            run,
            epoch: None,
            is_idle,
        };
        let value = serde_json::to_vec(&claim).unwrap();
        self.has("claim/c", Some(value), 0).0
    }

    fn releases(&mut self, epoch: Epoch) -> Vec<Event> {
        self.has("claim/c", None, epoch).1
    }

    fn stores(&mut self, session: &SessionRecord) -> Epoch {
        self.has("session/c", Some(session.write()), 0).0
    }

    fn standing(&self, epoch: Epoch) -> Standing {
        self.ownership.standing("c", epoch)
    }

    fn stored_at(&self) -> Option<i64> {
        self.ownership.stored("c").map(|stored| stored.at.offset)
    }
}

fn connected(epoch: Epoch) -> SessionRecord {
    SessionRecord {
        epoch,
        connected: true,
        expiry_s: 60,
        ..SessionRecord::default()
    }
}

fn away(epoch: Epoch, left_ms: u64) -> SessionRecord {
    SessionRecord {
        connected: false,
        left_ms,
        ..connected(epoch)
    }
}

#[test]
fn the_newest_claim_waits_until_those_before_it_are_released() {
    let mut topic = Topic::new();
    let first = topic.claims(OTHER, false);
    assert_eq!(topic.standing(first), Standing::Owner);
    let second = topic.claims(ME, false);
    assert_eq!(topic.standing(first), Standing::Lost);
    assert_eq!(topic.standing(second), Standing::Waits);
    topic.releases(first);
    assert_eq!(topic.standing(second), Standing::Owner);
}

#[test]
fn a_claim_that_was_not_read_yet_waits() {
    let topic = Topic::new();
    assert_eq!(topic.standing(7), Standing::Waits);
}

#[test]
fn an_idle_claim_gives_way_to_those_before_it_and_holds_up_those_after_it() {
    let mut topic = Topic::new();
    let owner = topic.claims(OTHER, false);
    let idle = topic.claims(ME, true);
    assert_eq!(topic.standing(owner), Standing::Owner);
    assert_eq!(topic.standing(idle), Standing::Lost);
    topic.releases(idle);
    topic.releases(owner);

    let idle = topic.claims(ME, true);
    let waiting = topic.claims(OTHER, false);
    assert_eq!(topic.standing(waiting), Standing::Waits);
    topic.releases(idle);
    assert_eq!(topic.standing(waiting), Standing::Owner);
}

#[test]
fn a_claim_that_something_comes_behind_is_written_again() {
    let mut topic = Topic::new();
    let first = topic.claims(OTHER, false);
    let second = topic.claims(ME, false);
    assert!(!topic.ownership.is_buried("c", second));
    let events = topic.releases(first);
    assert!(events.contains(&Event::Buried("c".into(), second)));
    assert!(topic.ownership.is_buried("c", second));
    let again = ClaimRecord {
        node: "me".to_owned(),
        run: ME,
        epoch: Some(second),
        is_idle: false,
    };
    let (_, events) = topic.has("claim/c", Some(serde_json::to_vec(&again).unwrap()), 0);
    assert_eq!(events, [Event::Changed("c".into())]);
    assert!(!topic.ownership.is_buried("c", second));
    assert_eq!(topic.standing(second), Standing::Owner);
}

#[test]
fn claims_of_a_dead_run_count_until_it_is_buried_and_never_again() {
    let mut topic = Topic::new();
    let dead = topic.claims(OTHER, false);
    let written = topic.stores(&connected(dead));
    let mine = topic.claims(ME, false);
    assert_eq!(topic.says("other", OTHER, true), [Event::Declared(OTHER)]);
    assert_eq!(topic.standing(mine), Standing::Waits);
    assert_eq!(topic.ownership.bury(OTHER), [("c".into(), dead)]);
    assert_eq!(topic.standing(mine), Standing::Owner);
    // Its owner lived when it wrote, after the last heartbeat.
    assert_eq!(topic.ownership.lost_ms("c"), Some(written as u64 * 100));
    topic.claims(OTHER, false);
    assert_eq!(topic.standing(mine), Standing::Owner);
    topic.stores(&connected(mine));
    assert_eq!(topic.ownership.lost_ms("c"), None);
}

#[test]
fn what_a_dead_run_left_connected_is_due_once_it_is_buried() {
    let mut topic = Topic::new();
    let dead = topic.claims(OTHER, false);
    let written = topic.stores(&connected(dead));
    topic.says("other", OTHER, true);
    assert_eq!(topic.ownership.first_due(), None);
    topic.ownership.bury(OTHER);
    let after_ms = connected(dead).after_loss_ms().unwrap();
    let due = (written as u64 * 100 + after_ms, "c".into());
    assert_eq!(topic.ownership.first_due(), Some(&due));
    topic.stores(&connected(topic.next));
    assert_eq!(topic.ownership.first_due(), None);
}

#[test]
fn a_run_is_dead_when_it_was_silent_for_a_lapse_in_which_this_one_was_heard() {
    let mut topic = Topic::new();
    topic.now += LAPSE;
    let suspects = |topic: &Topic| topic.ownership.suspects(topic.now, LAPSE);
    assert!(suspects(&topic).is_empty());
    for _ in 0..BEATS {
        topic.beats("me", ME);
    }
    assert_eq!(suspects(&topic), [(OTHER, "other".into())]);
    topic.beats("other", OTHER);
    assert!(suspects(&topic).is_empty());
}

#[test]
fn a_node_finds_itself_dead_by_a_certificate_or_another_of_its_name() {
    for run in [ME, 3] {
        let mut topic = Topic::new();
        let events = topic.says("me", run, run == ME);
        assert_eq!(events, [Event::DeclaredMyself]);
    }
}

#[test]
fn a_heartbeat_ends_earlier_runs_of_its_node_but_none_that_is_known_by_its_claim_alone() {
    let mut topic = Topic::new();
    let events = topic.beats("other", 3);
    assert_eq!(events, [Event::Declared(OTHER)]);
    let claim = topic.claims(4, false);
    // Of the run before, read late: the heartbeats of the new one come behind it.
    assert!(topic.beats("other", 3).is_empty());
    assert_eq!(topic.standing(claim), Standing::Owner);
    assert_eq!(topic.beats("other", 4), [Event::Declared(3)]);
}

#[test]
fn a_state_of_an_older_epoch_is_passed_over() {
    let mut topic = Topic::new();
    let newer = topic.stores(&connected(7));
    topic.stores(&away(6, 0));
    assert_eq!(topic.stored_at(), Some(newer));
    let last = topic.stores(&away(7, 0));
    assert_eq!(topic.stored_at(), Some(last));
    topic.has("session/c", None, 6);
    assert_eq!(topic.stored_at(), Some(last));
    topic.has("session/c", None, 8);
    assert_eq!(topic.stored_at(), None);
}

#[test]
fn a_due_item_is_put_off_until_it_is_done() {
    let mut topic = Topic::new();
    topic.releases(0);
    topic.says("other", OTHER, true);
    topic.stores(&away(1, 1000));
    let due = topic.ownership.first_due().cloned().unwrap();
    assert_eq!(due, (61_000, "c".into()));
    assert!(topic.ownership.take_due(&due, 70_000));
    let later = topic.ownership.first_due().cloned().unwrap();
    assert_eq!(later, (70_000, "c".into()));
    // Put off, it is for whoever comes first; as it is stored, it is due at once.
    assert!(topic.ownership.take_due(&later, 80_000));
    topic.ownership.look_again(&"c".into());
    assert_eq!(topic.ownership.first_due(), Some(&due));
    topic.stores(&connected(2));
    assert!(!topic.ownership.take_due(&due, 90_000));
}
