//! Who gets in: tokens and passwords that stand in no file, at a broker that runs.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jsonwebtoken::{EncodingKey, Header};
use mqtt::packet::{Auth, Connect};
use mqtt::{Packet, QoS, ReasonCode, Version};
use service::Shutdown;
use support::{Client, Kafka, connect, publish, write_file};

const KEY: &str = "a secret of thirty-two bytes at least";

/// A broker with these flags beside those of its Kafka.
async fn start(kafka: &Kafka, more: &[String]) -> (broker::Broker, Shutdown) {
    let argv = ["broker".to_owned()].into_iter().chain(kafka.flags());
    let argv = argv.chain(more.iter().cloned()).map(Into::into).collect();
    let settings = service::config::load(argv, broker::TABLES).unwrap();
    let shutdown = Shutdown::new();
    let broker = broker::Broker::start(settings, shutdown.clone()).await;
    (broker.unwrap(), shutdown)
}

fn connect_as(username: &str, password: &str) -> Connect {
    Connect {
        username: Some(username.into()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..connect(Version::V5, username)
    }
}

/// A token of `pump-7` in the groups; `seconds` from now it ends.
fn token(groups: &[&str], seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ends = i64::try_from(now.as_secs()).unwrap() + seconds;
    let claims = serde_json::json!({"sub": "pump-7", "exp": ends, "groups": groups, "org": "acme"});
    let key = EncodingKey::from_secret(KEY.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn a_token_lets_in_with_its_groups_and_organization() {
    let kafka = Kafka::start().await;
    let flags = [
        "--authentication-method-jwt-enabled=true",
        &format!("--jwt-verification-key={KEY}"),
        "--jwt-verification-key-algorithm=HmacSHA256",
        "--jwt-groups-claim-name=groups",
        "--jwt-organization-claim=org",
        "--authorization-rules={organization}/{username}/#, PUBLISH, group=pumps, ALLOW",
    ];
    let (broker, shutdown) = start(&kafka, &flags.map(str::to_owned)).await;

    for wrong in [token(&["pumps"], -5), "x.y.z".into(), String::new()] {
        let mut client = Client::open(broker.mqtt_addr(), Version::V5).await;
        let answer = client.connect(connect_as("JWT", &wrong)).await;
        assert_eq!(answer.reason, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    for (groups, topic, reason) in [
        (&["pumps"][..], "acme/pump-7/x", ReasonCode::SUCCESS),
        (&["pumps"], "acme/pump-8/x", ReasonCode::NOT_AUTHORIZED),
        (&["valves"], "acme/pump-7/x", ReasonCode::NOT_AUTHORIZED),
    ] {
        let mut client = Client::open(broker.mqtt_addr(), Version::V5).await;
        let answer = client.connect(connect_as("JWT", &token(groups, 900))).await;
        assert_eq!(answer.reason, ReasonCode::SUCCESS);
        let answer = client
            .publish(publish(topic, QoS::AtLeastOnce, 1, "on"))
            .await;
        assert_eq!(answer, reason, "{topic}");
    }
    shutdown.cancel();
    broker.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread
async fn a_hashed_password_lets_in() {
    let mut hash = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["hash-password", "ann"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    hash.stdin.take().unwrap().write_all(b"pencil\n").unwrap();
    let output = hash.wait_with_output().unwrap();
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.starts_with("ann=SCRAM-SHA-256$") && !line.contains("pencil"),
        "{line}"
    );

    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let users = write_file(&files, "users", &line);
    let flag = format!("--users-file-path={}", users.display());
    let (broker, shutdown) = start(&kafka, &[flag]).await;
    for (password, reason) in [
        ("pencil", ReasonCode::SUCCESS),
        ("pen", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (line.trim(), ReasonCode::BAD_USER_NAME_OR_PASSWORD),
    ] {
        let mut client = Client::open(broker.mqtt_addr(), Version::V5).await;
        let answer = client.connect(connect_as("ann", password)).await;
        assert_eq!(answer.reason, reason, "{password}");
    }
    shutdown.cancel();
    broker.finished().await.unwrap();
}

#[test]
fn a_password_that_can_not_be_hashed_is_refused_on_one_line() {
    for (args, expected) in [
        (&["a=b"][..], "`a=b` can't stand in a users file: "),
        (
            &["ann"],
            "the password is empty; give one on standard input",
        ),
        (
            &["ann", "--iterations=1"],
            "invalid value '1' for '--iterations <ITERATIONS>': ",
        ),
        (
            &[],
            "the following required arguments were not provided: <USER>",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_broker"))
            .arg("hash-password")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let line = text.strip_prefix("broker hash-password: ").unwrap();
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

fn auth(reason: ReasonCode, method: &str, data: &[u8]) -> Packet {
    let mut auth = Auth {
        reason,
        properties: mqtt::properties::Properties::default(),
    };
    auth.properties.auth_method = Some(method.into());
    auth.properties.auth_data = Some(Bytes::copy_from_slice(data));
    Packet::Auth(auth)
}

fn connect_by(method: &str, data: &[u8]) -> Connect {
    let mut connect = Connect {
        username: None,
        password: None,
        ..connect(Version::V5, "by-method")
    };
    connect.properties.auth_method = Some(method.into());
    connect.properties.auth_data = Some(Bytes::copy_from_slice(data));
    connect
}

/// [MQTT-4.12.0-2] to [MQTT-4.12.0-6], [MQTT-4.12.1-1], [MQTT-4.12.1-2]
#[tokio::test]
async fn mqtt_4_12_exchanges_before_connack_and_while_connected() {
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let users = write_file(&files, "users", "ann=pencil\n");
    let flags = [
        "--authentication-method-jwt-enabled=true".to_owned(),
        format!("--jwt-verification-key={KEY}"),
        "--jwt-verification-key-algorithm=HmacSHA256".to_owned(),
        format!("--users-file-path={}", users.display()),
    ];
    let (broker, shutdown) = start(&kafka, &flags).await;
    let open = || Client::open(broker.mqtt_addr(), Version::V5);

    let mut unknown = open().await;
    let answer = unknown.connect(connect_by("MAGIC", b"")).await;
    assert_eq!(answer.reason, ReasonCode::BAD_AUTHENTICATION_METHOD);

    // Several steps: a wrong proof is refused at the last one.
    let mut scram = open().await;
    let first = connect_by("SCRAM-SHA-256", b"n,,n=ann,r=rOprNGfwEbeRWgbNEkqO");
    scram.send(&Packet::Connect(Box::new(first))).await;
    match scram.next().await {
        Some(Packet::Auth(challenge)) => {
            assert_eq!(challenge.reason, ReasonCode::CONTINUE_AUTHENTICATION);
            let data = challenge.properties.auth_data.clone().unwrap();
            let text = std::str::from_utf8(&data).unwrap().to_owned();
            assert!(text.starts_with("r=rOprNGfwEbeRWgbNEkqO"), "{text}");
            let nonce = text.split(',').next().unwrap();
            let proof = "A".repeat(43) + "=";
            let last = format!("c=biws,{nonce},p={proof}");
            let step = ReasonCode::CONTINUE_AUTHENTICATION;
            scram
                .send(&auth(step, "SCRAM-SHA-256", last.as_bytes()))
                .await;
        }
        other => panic!("{other:?}"),
    }
    match scram.next().await {
        Some(Packet::ConnAck(answer)) => assert_eq!(answer.reason, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }

    // A token, and a new one while connected.
    let mut client = open().await;
    let answer = client
        .connect(connect_by("JWT", token(&[], 900).as_bytes()))
        .await;
    assert_eq!(answer.reason, ReasonCode::SUCCESS);
    assert_eq!(answer.properties.auth_method, Some("JWT".into()));
    let again = ReasonCode::REAUTHENTICATE;
    let renewed = auth(again, "JWT", token(&[], 1800).as_bytes());
    client.send(&renewed).await;
    match client.next().await {
        Some(Packet::Auth(done)) => assert_eq!(done.reason, ReasonCode::SUCCESS),
        other => panic!("{other:?}"),
    }
    client.nothing_more().await;
    client.send(&auth(again, "JWT", b"no token")).await;
    match client.next().await {
        Some(Packet::Disconnect(bye)) => assert_eq!(bye.reason, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }

    // A connection ends with its token.
    let mut short = open().await;
    let answer = short
        .connect(connect_by("JWT", token(&[], 2).as_bytes()))
        .await;
    assert_eq!(answer.reason, ReasonCode::SUCCESS);
    match short.next().await {
        Some(Packet::Disconnect(bye)) => assert_eq!(bye.reason, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }
    shutdown.cancel();
    broker.finished().await.unwrap();
}
