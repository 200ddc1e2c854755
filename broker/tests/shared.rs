//! Shared subscriptions across nodes: each message comes once to the group, wherever its members are, on the embedded
//! Kafka or the one that `TEST_KAFKA` names.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt::packet::{Ack, Disconnect, Publish, Unsubscribe};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};
use support::{Client, Kafka, PATIENCE, TestBroker, id, persistent, publish, subscription, text};
use tokio::sync::{Notify, mpsc};

const FILTER: &str = "$share/g/s/+";

/// As many partitions as three nodes can share out evenly.
const RULES: &str =
    "[[topic]]\nmqtt = \"s/{key}\"\nkafka = \"{prefix}s\"\nkey = \"{key}\"\npartitions = 12\n";

async fn node(kafka: &Kafka, more: &[&str]) -> TestBroker {
    // Each node has a name of its own.
    let name = format!("--node-name=node-{:08x}", rand::random::<u32>());
    let flags: Vec<&str> = [name.as_str()]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    TestBroker::start_with(kafka, RULES, &flags).await
}

async fn member(node: &TestBroker, name: &str, qos: QoS) -> Client {
    let mut client = node.client(Version::V5, name).await;
    join(&mut client, qos).await;
    client
}

async fn join(client: &mut Client, qos: QoS) {
    let granted = client.subscribe(vec![subscription(FILTER, qos)]).await;
    assert_eq!(granted, [ReasonCode(qos as u8)]);
}

/// Payloads that have come, each with the number of the member that got it.
struct Group {
    tell: mpsc::Sender<(usize, String)>,
    told: mpsc::Receiver<(usize, String)>,
    readers: Vec<(tokio::task::JoinHandle<()>, Arc<Notify>)>,
    got: BTreeMap<String, usize>,
    /// Partitions move from node to node while messages are on their way.
    may_repeat: bool,
}

impl Group {
    fn new() -> Self {
        let (tell, told) = mpsc::channel(1000);
        Self {
            tell,
            told,
            readers: Vec::new(),
            got: BTreeMap::new(),
            may_repeat: false,
        }
    }

    /// A member that acknowledges what it gets. Returns its number.
    fn reads(&mut self, mut client: Client) -> usize {
        let (tell, number) = (self.tell.clone(), self.readers.len());
        let bye = Arc::new(Notify::new());
        let shall_leave = Arc::clone(&bye);
        let reader = tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = client.next_ever() => next,
                    () = shall_leave.notified() => return leave(client).await,
                };
                let Some(packet) = next else {
                    return;
                };
                if let Some(payload) = answer(&mut client, packet).await
                    && tell.send((number, payload)).await.is_err()
                {
                    return;
                }
            }
        });
        self.readers.push((reader, bye));
        number
    }

    /// A member that has nothing left to acknowledge says goodbye; its node has heard that when this returns.
    async fn leaves(&mut self, number: usize) {
        let (reader, bye) = &mut self.readers[number];
        bye.notify_one();
        reader.await.unwrap();
    }

    /// Waits until so many different messages have come; none may come twice, unless it may.
    async fn got(&mut self, count: usize) {
        while self.got.len() < count {
            let (number, payload) = self.next().await;
            let before = self.got.insert(payload.clone(), number);
            if self.may_repeat {
                // Shown, not judged: a node waits 2 s for what it has on its way, which a busy machine may exceed.
                before.inspect(|_| eprintln!("{payload} came twice"));
            } else {
                assert_eq!(before, None, "{payload} came twice, now to {number}");
            }
        }
    }

    async fn next(&mut self) -> (usize, String) {
        tokio::time::timeout(PATIENCE, self.told.recv())
            .await
            .unwrap_or_else(|_| panic!("only {} messages came", self.got.len()))
            .unwrap()
    }

    /// How many came to a member.
    fn count(&self, number: usize) -> usize {
        self.got.values().filter(|of| **of == number).count()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (reader, _) in &self.readers {
            reader.abort();
        }
    }
}

/// Does what a packet wants to be done; returns the payload of a PUBLISH.
async fn answer(client: &mut Client, packet: Packet) -> Option<String> {
    match packet {
        Packet::Publish(message) => {
            let payload = text(&message).1;
            match (message.qos, message.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => {
                    client.send(&Packet::PubAck(Ack::success(id))).await
                }
                (QoS::ExactlyOnce, Some(id)) => {
                    client.send(&Packet::PubRec(Ack::success(id))).await
                }
                _ => {}
            }
            Some(payload)
        }
        Packet::PubRel(release) => {
            let done = Ack::success(release.packet_id);
            client.send(&Packet::PubComp(done)).await;
            None
        }
        other => panic!("{other:?}"),
    }
}

/// Publishes numbers, each under a key of its own, so that they spread over the partitions.
async fn say(client: &mut Client, numbers: std::ops::Range<usize>, qos: QoS) {
    for number in numbers {
        let topic = format!("s/{}", number % 997);
        let packet = publish(&topic, qos, 1, &number.to_string());
        client.send(&Packet::Publish(packet)).await;
        match (qos, client.next().await) {
            (QoS::AtLeastOnce, Some(Packet::PubAck(_))) => {}
            (QoS::ExactlyOnce, Some(Packet::PubRec(_))) => {
                client.send(&Packet::PubRel(Ack::success(id(1)))).await;
                assert!(matches!(client.next().await, Some(Packet::PubComp(_))));
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

/// The next message, which is not acknowledged.
async fn unanswered(client: &mut Client) -> Publish {
    match client.next().await {
        Some(Packet::Publish(message)) => message,
        other => panic!("{other:?}"),
    }
}

async fn leave(mut client: Client) {
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
    client.send(&bye).await;
    while client.next().await.is_some() {}
}

/// Waits until each of `members` gets messages: until Kafka has shared the partitions out among their nodes. Returns how
/// many were published.
async fn until_all_get(
    group: &mut Group,
    members: &[usize],
    publisher: &mut Client,
    from: usize,
) -> usize {
    let mut to = from;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let before = group.got.len();
        say(publisher, to..to + 50, QoS::AtLeastOnce).await;
        to += 50;
        group.got(to).await;
        let last: BTreeSet<usize> = group
            .got
            .iter()
            .filter(|(payload, _)| payload.parse::<usize>().unwrap() >= before)
            .map(|(_, member)| *member)
            .collect();
        if members.iter().all(|member| last.contains(member)) {
            return to;
        }
        assert!(tokio::time::Instant::now() < deadline, "{last:?} got all");
    }
}

#[tokio::test]
async fn members_on_three_nodes_share_the_messages_evenly_and_each_comes_once() {
    const COUNT: usize = 3000;
    let kafka = Kafka::start().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(node(&kafka, &[]).await);
    }
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    let mut group = Group::new();
    // The first one gets everything from its SUBACK on, though it is in Kafka's group only later.
    group.reads(member(&nodes[0], "m0", QoS::AtLeastOnce).await);
    say(&mut publisher, 0..100, QoS::AtLeastOnce).await;
    group.got(100).await;
    group.reads(member(&nodes[1], "m1", QoS::AtLeastOnce).await);
    group.reads(member(&nodes[2], "m2", QoS::AtLeastOnce).await);
    let before = until_all_get(&mut group, &[0, 1, 2], &mut publisher, 100).await;
    let counts = |group: &Group| [0, 1, 2].map(|number| group.count(number));
    let earlier = counts(&group);
    say(&mut publisher, before..before + COUNT, QoS::AtLeastOnce).await;
    group.got(before + COUNT).await;
    let later = counts(&group);
    for (earlier, later) in earlier.into_iter().zip(later) {
        let share = later - earlier;
        let even = COUNT / 3;
        assert!(share.abs_diff(even) * 5 <= even, "{share} of {COUNT}");
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_a_member_leaves_unacknowledged_comes_to_another_on_its_node_or_elsewhere() {
    let kafka = Kafka::start().await;
    let nodes = [node(&kafka, &[]).await, node(&kafka, &[]).await];
    let mut publisher = nodes[1].client(Version::V5, "p").await;
    let mut first = member(&nodes[0], "first", QoS::AtLeastOnce).await;
    say(&mut publisher, 0..20, QoS::AtLeastOnce).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.insert(text(&unanswered(&mut first).await).1);
    }
    // To another one here.
    let mut second = member(&nodes[0], "second", QoS::AtLeastOnce).await;
    drop(first);
    let mut again = BTreeSet::new();
    while again.len() < 20 {
        again.insert(text(&unanswered(&mut second).await).1);
    }
    assert_eq!(again, seen);
    // To the other node, when nobody is left here; what was acknowledged does not come again.
    second.send(&Packet::PubAck(Ack::success(id(3)))).await;
    second.send(&Packet::PubAck(Ack::success(id(7)))).await;
    second.nothing_more().await;
    let mut group = Group::new();
    leave(second).await;
    group.reads(member(&nodes[1], "third", QoS::AtLeastOnce).await);
    group.got(18).await;
    say(&mut publisher, 20..21, QoS::AtLeastOnce).await;
    group.got(19).await;
    assert!(group.got.contains_key("20"));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn the_members_of_a_whole_node_leave_and_come() {
    let kafka = Kafka::start().await;
    let nodes = [node(&kafka, &[]).await, node(&kafka, &[]).await];
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    let mut group = Group::new();
    group.may_repeat = true;
    group.reads(member(&nodes[0], "here", QoS::AtLeastOnce).await);
    let there = group.reads(member(&nodes[1], "there", QoS::AtLeastOnce).await);
    let mut to = until_all_get(&mut group, &[0, there], &mut publisher, 0).await;
    let [first, second] = nodes;
    group.leaves(there).await;
    second.stop().await;
    say(&mut publisher, to..to + 200, QoS::AtLeastOnce).await;
    to += 200;
    group.got(to).await;
    let third = node(&kafka, &[]).await;
    let number = group.reads(member(&third, "third", QoS::AtLeastOnce).await);
    until_all_get(&mut group, &[0, number], &mut publisher, to).await;
    for node in [first, third] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_group_that_everybody_has_left_goes_on_where_it_was_on_any_node() {
    let kafka = Kafka::start().await;
    let nodes = [node(&kafka, &[]).await, node(&kafka, &[]).await];
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    say(&mut publisher, 0..5, QoS::AtLeastOnce).await;
    let mut client = Client::open(nodes[0].broker.mqtt_addr(), Version::V5).await;
    client.connect(persistent(Version::V5, "m")).await;
    join(&mut client, QoS::AtLeastOnce).await;
    say(&mut publisher, 5..15, QoS::AtLeastOnce).await;
    let mut group = Group::new();
    for _ in 5..15 {
        let payload = text(&client.message().await).1;
        group.got.insert(payload, 0);
    }
    client.nothing_more().await;
    assert!(group.got.contains_key("5"), "not what was there before it");
    leave(client).await;
    say(&mut publisher, 15..30, QoS::AtLeastOnce).await;
    group.reads(member(&nodes[1], "other", QoS::AtLeastOnce).await);
    group.got(25).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_group_whose_members_have_no_room_waits_and_loses_nothing() {
    const COUNT: usize = 400;
    let kafka = Kafka::start().await;
    let small = ["--client-queue=8", "--mqtt-max-in-flight-messages=4"];
    let nodes = [node(&kafka, &small).await, node(&kafka, &small).await];
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    let mut lazy = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        lazy.push(member(node, &format!("lazy{at}"), QoS::AtLeastOnce).await);
    }
    say(&mut publisher, 0..COUNT, QoS::AtLeastOnce).await;
    // Each has what may be on its way to it and no more.
    for client in &mut lazy {
        for _ in 0..4 {
            unanswered(client).await;
        }
    }
    // A member that works gets all but what the lazy ones have; when they go, that, too.
    let mut group = Group::new();
    group.reads(member(&nodes[0], "busy", QoS::AtLeastOnce).await);
    for client in lazy {
        leave(client).await;
    }
    group.got(COUNT).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn at_qos_2_a_message_comes_once_also_when_partitions_move_and_sessions_stay() {
    const COUNT: usize = 600;
    let kafka = Kafka::start().await;
    let nodes = [node(&kafka, &[]).await, node(&kafka, &[]).await];
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    let mut group = Group::new();
    group.reads(member(&nodes[0], "m0", QoS::ExactlyOnce).await);
    // One that keeps its session has begun a message, and goes in the midst of it.
    let mut keeper = Client::open(nodes[0].broker.mqtt_addr(), Version::V5).await;
    keeper.connect(persistent(Version::V5, "keeper")).await;
    join(&mut keeper, QoS::ExactlyOnce).await;
    say(&mut publisher, 0..50, QoS::ExactlyOnce).await;
    let begun = text(&unanswered(&mut keeper).await).1;
    drop(keeper);
    // Another node comes while messages are on their way.
    let other = member(&nodes[1], "m1", QoS::ExactlyOnce);
    let (other, ()) = tokio::join!(other, say(&mut publisher, 50..COUNT, QoS::ExactlyOnce));
    group.reads(other);
    let mut keeper = Client::open(nodes[0].broker.mqtt_addr(), Version::V5).await;
    let answered = keeper.connect(persistent(Version::V5, "keeper")).await;
    assert!(answered.session_present);
    group.reads(keeper);
    group.got(COUNT).await;
    assert_eq!(group.got[&begun], 2, "what was begun stays with its member");
    say(&mut publisher, COUNT..COUNT + 1, QoS::ExactlyOnce).await;
    group.got(COUNT + 1).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_has_a_bounded_number_of_groups() {
    let kafka = Kafka::start().await;
    let node = node(&kafka, &["--mqtt-max-shared-groups=2"]).await;
    let mut client = node.client(Version::V5, "c").await;
    let filters = [
        "$share/a/s/+",
        "$share/b/s/+",
        "$share/c/s/+",
        "$share/a/s/+",
    ];
    let wanted = filters.map(|filter| subscription(filter, QoS::AtLeastOnce));
    let ok = ReasonCode::GRANTED_QOS_1;
    let reasons = client.subscribe(wanted.to_vec()).await;
    assert_eq!(reasons, [ok, ok, ReasonCode::QUOTA_EXCEEDED, ok]);
    let packet = Unsubscribe {
        packet_id: id(8),
        properties: Properties::default(),
        filters: vec![TopicFilter::new("$share/b/s/+").unwrap()],
    };
    client.send(&Packet::Unsubscribe(packet)).await;
    assert!(matches!(client.next().await, Some(Packet::UnsubAck(_))));
    let third = vec![subscription("$share/c/s/+", QoS::AtLeastOnce)];
    assert_eq!(client.subscribe(third).await, [ok]);
    node.stop().await;
}

/// A message that nobody acknowledges does not keep what was acknowledged behind it from being committed.
#[tokio::test]
async fn a_stuck_message_does_not_bring_back_those_behind_it() {
    let kafka = Kafka::start().await;
    let nodes = [node(&kafka, &[]).await, node(&kafka, &[]).await];
    let mut publisher = nodes[0].client(Version::V5, "p").await;
    let mut client = member(&nodes[0], "m", QoS::AtLeastOnce).await;
    // One key, so one partition.
    for number in 0..30 {
        let packet = publish("s/one", QoS::AtLeastOnce, 1, &number.to_string());
        assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    }
    let mut stuck = Vec::new();
    for at in 0..30 {
        let message = unanswered(&mut client).await;
        if at % 10 == 0 {
            stuck.push(text(&message).1);
        } else {
            let ack = Ack::success(message.packet_id.unwrap());
            client.send(&Packet::PubAck(ack)).await;
        }
    }
    client.nothing_more().await;
    leave(client).await;
    let mut other = member(&nodes[1], "other", QoS::AtLeastOnce).await;
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(text(&other.message().await).1);
    }
    assert_eq!(again, stuck);
    let packet = publish("s/one", QoS::AtLeastOnce, 1, "last");
    assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    assert_eq!(text(&other.message().await).1, "last");
    for node in nodes {
        node.stop().await;
    }
}
