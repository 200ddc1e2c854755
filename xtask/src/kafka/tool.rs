//! Kafka's own console tools, by short name or by class.

use anyhow::bail;

use super::jars;
use crate::shell;

/// Short name, class, and whether the tool takes `--bootstrap-server`.
const TOOLS: [(&str, &str, bool); 9] = [
    ("topics", "org.apache.kafka.tools.TopicCommand", true),
    (
        "console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        true,
    ),
    (
        "console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
        true,
    ),
    (
        "consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        true,
    ),
    ("configs", "kafka.admin.ConfigCommand", true),
    ("offsets", "org.apache.kafka.tools.GetOffsetShell", true),
    (
        "transactions",
        "org.apache.kafka.tools.TransactionsCommand",
        true,
    ),
    (
        "delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
        true,
    ),
    (
        "producer-performance",
        "org.apache.kafka.tools.ProducerPerformance",
        false,
    ),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// topics, console-consumer, console-producer, consumer-groups, configs, offsets, transactions, delete-records,
    /// producer-performance, or a Java class.
    name: String,
    /// The tool's own arguments. `--bootstrap-server` is added unless given: `KAFKA_BOOTSTRAP_SERVERS`, else
    /// 127.0.0.1:9092.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let known = TOOLS.iter().find(|(name, ..)| *name == args.name);
    let (class, takes_servers) = match known {
        Some((_, class, takes_servers)) => (*class, *takes_servers),
        None if args.name.contains('.') => (args.name.as_str(), false),
        None => {
            let names = TOOLS.map(|(name, ..)| name).join(", ");
            bail!(
                "no kafka tool `{}`: one of {names}, or a class with its package",
                args.name
            );
        }
    };
    let mut command = jars::java(class, &["-Xmx256m"])?;
    if takes_servers && !names_servers(&args.args) {
        let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")
            .ok()
            .filter(|servers| !servers.is_empty())
            .unwrap_or_else(|| "127.0.0.1:9092".to_owned());
        command.args(["--bootstrap-server", &servers]);
    }
    shell::run(
        command.args(&args.args),
        "apt-get install default-jre-headless",
    )
}

fn names_servers(args: &[String]) -> bool {
    args.iter()
        .any(|arg| arg == "--bootstrap-server" || arg.starts_with("--bootstrap-server="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_added_only_where_none_is_named() {
        let args = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        assert!(names_servers(&args("--list --bootstrap-server a:1")));
        assert!(names_servers(&args("--bootstrap-server=a:1 --list")));
        assert!(!names_servers(&args("--list --topic bootstrap-server")));
    }
}
