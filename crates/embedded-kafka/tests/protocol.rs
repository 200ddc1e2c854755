//! The wire itself: what is no request, too long, unknown, or too much.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::*;
use embedded_kafka::{Config, Server};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Key, version, correlation id 7, no client id, then the body; with its length before.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let header = [
        &key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &[0, 0, 0, 7, 0xff, 0xff],
    ]
    .concat();
    [
        &((header.len() + body.len()) as i32).to_be_bytes()[..],
        &header,
        body,
    ]
    .concat()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    answer
}

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_requests_close_the_connection_but_api_versions_is_answered_in_its_oldest_form() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    for bad in [
        frame(999, 0, &[]),
        frame(METADATA, 99, &[]),
        frame(METADATA, -1, &[]),
        frame(METADATA, 1, &[0x7f, 0xff, 0xff, 0xff]),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 0],
    ] {
        let mut stream = connect(server.local_addr());
        stream.write_all(&bad).unwrap();
        assert!(is_closed(&mut stream), "{bad:02x?}");
    }
    let mut stream = connect(server.local_addr());
    stream.write_all(&frame(API_VERSIONS, 99, &[])).unwrap();
    let answer = answer(&mut stream);
    assert_eq!(
        answer[..6],
        [0, 0, 0, 7, 0, 35],
        "unsupported version, in version 0"
    );
    let count = i32::from_be_bytes(answer[6..10].try_into().unwrap()) as usize;
    assert_eq!(
        answer.len(),
        10 + 6 * count,
        "with the versions that are supported"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_ahead_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut stream = connect(server.local_addr());
    let mut all = Vec::new();
    for id in 0..100u8 {
        let mut one = frame(API_VERSIONS, 0, &[]);
        one[11] = id;
        all.extend(one);
    }
    // In two pieces that cut a request.
    stream.write_all(&all[..333]).unwrap();
    stream.write_all(&all[333..]).unwrap();
    for id in 0..100u8 {
        assert_eq!(answer(&mut stream)[3], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_and_silent_ones_closed() {
    let dir = tempfile::tempdir().unwrap();
    let idle_timeout = Duration::from_millis(300);
    let config = Config {
        connections_max: 5,
        idle_timeout,
        ..Config::new(dir.path())
    };
    let server = Server::start(config).await.unwrap();
    let mut first: Vec<TcpStream> = (0..5).map(|_| connect(server.local_addr())).collect();
    assert!(is_closed(&mut connect(server.local_addr())), "one too many");
    for stream in &mut first {
        assert!(is_closed(stream), "silent for too long");
    }
    let mut next = connect(server.local_addr());
    next.write_all(&frame(API_VERSIONS, 0, &[])).unwrap();
    assert!(!answer(&mut next).is_empty(), "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_read_what_many_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let idle: Vec<TcpStream> = (0..300).map(|_| connect(server.local_addr())).collect();
    let write = |client: usize| {
        let producer = producer(&bootstrap, &[]);
        async move {
            for n in 0..20 {
                put(&producer, "topic", &format!("{client}-{n}"), Some("v")).await;
            }
        }
    };
    futures_util::future::join_all((0..20).map(write)).await;
    for records in
        futures_util::future::join_all((0..20).map(|_| read(&bootstrap, "topic", &[]))).await
    {
        assert_eq!(records.len(), 400);
        assert!(
            records
                .iter()
                .enumerate()
                .all(|(at, record)| record.offset == at as i64)
        );
    }
    drop(idle);
}

/// Frames of every kind that claim more than they hold, thrown at a server of its own: it stays up, and small.
#[test]
fn damaged_frames_neither_stop_the_server_nor_fill_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "127.0.0.1:0");
    let mut runner = TestRunner::deterministic();
    let byte = proptest::sample::select(vec![0u8, 0, 1, 2, 0x7f, 0x80, 0xff]);
    let bodies = proptest::collection::vec(byte, 0..100);
    for key in 0..75i16 {
        for version in 0..18i16 {
            let body = bodies.new_tree(&mut runner).unwrap().current();
            let mut stream = connect(process.address);
            stream
                .set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            stream.write_all(&frame(key, version, &body)).unwrap();
            let _ = stream.read(&mut [0; 4096]); // an answer, a close or a wait: all are fine
        }
    }
    let mut stream = connect(process.address);
    stream.write_all(&frame(API_VERSIONS, 0, &[])).unwrap();
    assert!(!answer(&mut stream).is_empty());
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 200 << 10, "peak of {peak_kib} KiB");
}
