//! `broker check-config`: are the settings right, and what do the topic rules do? Neither Kafka nor a port is needed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use mqtt::{TopicFilter, TopicName};
use service::config::{self, Stop};
use service::{BadSetting, Settings};

use crate::config::{Config, Ready};
use crate::rules::{Direction, Rule, Rules};
use crate::{TABLES, command};

/// Check all settings and files, and explain the topic rules.
#[derive(Debug, Parser)]
#[command(
    name = "broker check-config",
    bin_name = "broker check-config",
    version
)]
struct Args {
    /// MQTT topics: says where each is kept; with wildcards: which Kafka topics a subscription reads;
    /// KAFKA_TOPIC=KEY: says which MQTT topic that record is of
    #[arg(value_name = "MQTT_TOPIC|KAFKA_TOPIC=KEY")]
    questions: Vec<String>,
    #[command(flatten)]
    config: Config,
}

/// Checks the settings in `argv`, whose first element is a name, in the environment and in the file, and explains them
/// on standard output. The exit status is 0, or 2 when something is wrong, with one line on standard error.
pub fn check_config(argv: Vec<OsString>) -> ExitCode {
    command::end("check-config", explained(argv))
}

fn explained(argv: Vec<OsString>) -> Result<String, Stop> {
    let Settings { args, tables, file } = config::load::<Args>(argv, TABLES)?;
    let ready = Ready::new(Settings {
        args: args.config,
        tables,
        file,
    })?;
    let mut text = listing(&ready.rules);
    for question in &args.questions {
        text.push('\n');
        text.push_str(&answer(&ready.rules, question)?);
    }
    Ok(text)
}

/// All rules, in columns.
fn listing(rules: &Rules) -> String {
    let rows: Vec<[String; 5]> = rules.iter().map(Rule::columns).collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text =
        "The settings are right. An MQTT topic belongs to the first rule that matches:\n"
            .to_owned();
    for (at, (row, rule)) in rows.iter().zip(rules.iter()).enumerate() {
        let mut line = format!("{:>3}", at + 1);
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("  {cell:width$}"));
        }
        text.push_str(line.trim_end());
        if let Some(earlier) = rules.shadowed_by(rule) {
            let number = rules.number(earlier);
            text.push_str(&format!("  never used: rule {number} takes all its topics"));
        }
        text.push('\n');
    }
    text
}

fn answer(rules: &Rules, question: &str) -> Result<String, BadSetting> {
    if let Some((kafka_topic, key)) = question.split_once('=')
        && rules.has_kafka_topic(kafka_topic)
    {
        return Ok(way_back(rules, kafka_topic, key));
    }
    if TopicName::try_from(question).is_ok() {
        return Ok(way(rules, question));
    }
    match TopicFilter::new(question) {
        Ok(filter) => Ok(format!(
            "{question}: a subscription reads {}",
            rules.kafka_topics_of(filter.as_str()).join(", ")
        )),
        Err(_) => Err(BadSetting(format!(
            "`{question}` is neither an mqtt topic, nor a filter, nor kafkaTopic=key with a kafka topic of a rule"
        ))),
    }
}

fn way(rules: &Rules, mqtt_topic: &str) -> String {
    let Some(way) = rules.explain(mqtt_topic) else {
        return format!(
            "{mqtt_topic}: refused: no rule takes it, since a wildcard in front does not match $"
        );
    };
    let place = format!(
        "{mqtt_topic}: rule {}, kafka topic {}, key {}",
        way.number, way.rule.kafka_topic, way.key
    );
    match way.back {
        Some(back) if back == mqtt_topic => match way.rule.direction {
            Direction::Both => format!("{place}, and back to {back}"),
            Direction::ToKafka => format!("{place}, and not back: direction = \"to-kafka\""),
            Direction::FromKafka => {
                format!(
                    "{place}, and back to {back}; publishing is refused: direction = \"from-kafka\""
                )
            }
        },
        Some(other) => format!("{place}: refused: that key reads as {other}"),
        None => format!("{place}: refused: that key can't be read back"),
    }
}

fn way_back(rules: &Rules, kafka_topic: &str, key: &str) -> String {
    let place = format!("{kafka_topic}={key}");
    match rules.mqtt_topic_of(kafka_topic, key) {
        Some((rule, mqtt_topic)) if TopicName::try_from(&*mqtt_topic).is_ok() => {
            let number = rules.number(rule);
            match rule.direction {
                Direction::ToKafka => format!(
                    "{place}: rule {number}, mqtt topic {mqtt_topic}, not delivered: direction = \"to-kafka\""
                ),
                Direction::Both | Direction::FromKafka => {
                    format!("{place}: rule {number}, mqtt topic {mqtt_topic}")
                }
            }
        }
        Some((_, mqtt_topic)) => {
            format!("{place}: not delivered: `{mqtt_topic}` is not an mqtt topic name")
        }
        None => format!("{place}: not delivered: no rule of this kafka topic writes such a key"),
    }
}
