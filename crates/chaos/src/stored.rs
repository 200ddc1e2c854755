//! What Kafka holds of messages with which something is wrong: whether they were lost on their way in or out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::checker::Message;
use crate::topology;

/// The broker's topic for messages that no rule takes.
const KAFKA_TOPIC: &str = "mqtt_messages";
/// Milliseconds without a record after which the console's consumer ends.
const END_MS: &str = "10000";

/// Where each message is.
pub(crate) type Places = BTreeMap<Message, Vec<String>>;

/// Reads the log once, with Kafka's own consumer. `control` is the xtask program.
pub(crate) async fn find(
    control: &Path,
    bootstrap_servers: &str,
    wanted: &BTreeSet<Message>,
) -> anyhow::Result<Places> {
    let mut places = Places::new();
    if wanted.is_empty() {
        return Ok(places);
    }
    let mut consumer = Command::new(control);
    consumer
        .args(["kafka-tool", "console-consumer", "--topic", KAFKA_TOPIC])
        .args(["--from-beginning", "--timeout-ms", END_MS])
        .args(["--isolation-level", "read_committed"]);
    for shown in ["timestamp", "partition", "offset", "key"] {
        consumer.args(["--formatter-property", &format!("print.{shown}=true")]);
    }
    let mut child = consumer
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("can't start {}", control.display()))?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((message, place)) = read(&line)
            && wanted.contains(&message)
        {
            places.entry(message).or_default().push(place);
        }
    }
    let status = child.wait().await?;
    if !status.success() {
        bail!("kafka's console consumer ended with {status}");
    }
    Ok(places)
}

/// `CreateTime:1795701169298<tab>Partition:1<tab>Offset:444<tab>key<tab>value`
fn read(line: &str) -> Option<(Message, String)> {
    let mut fields = line.split('\t');
    let [time, partition, offset, key, value] = [(); 5].map(|()| fields.next());
    let message = topology::message(key?, value?.as_bytes())?;
    Some((message, [time?, partition?, offset?].join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::QoS;

    #[test]
    fn a_line_of_the_consumer_says_which_message_is_where() {
        let line = "CreateTime:17957\tPartition:1\tOffset:444\tchaos/4/2\tchaos/4/2 10";
        let message = Message {
            publisher: 4,
            qos: QoS::ExactlyOnce,
            number: 10,
        };
        let place = "CreateTime:17957 Partition:1 Offset:444".to_owned();
        assert_eq!(read(line), Some((message, place)));
        assert_eq!(read("Processed a total of 4116 messages"), None);
    }
}
