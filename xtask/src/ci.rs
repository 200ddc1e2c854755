//! All checks, in the order in which they fail fastest; `.ci/run` calls this after installing what they need.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::kafka::cluster::{Cluster, Options};
use crate::shell;

/// Programs that tests use, how to see that they are there, and the Debian package. A test passes itself over where its
/// program is missing, which is right on somebody's laptop and would be a hole here.
const PROGRAMS: [(&str, &str, &str); 8] = [
    ("chromium", "--version", "chromium"),
    ("kcat", "-V", "kcat"),
    ("mosquitto", "-h", "mosquitto"),
    ("mosquitto_sub", "--help", "mosquitto-clients"),
    ("osmium", "--version", "osmium-tool"),
    ("java", "-version", "default-jre-headless"),
    ("mvn", "--version", "maven"),
    ("npm", "--version", "nodejs npm"),
];

/// Members whose tests are about Kafka's semantics: they run on Apache Kafka too.
const KAFKA_MEMBERS: [&str; 3] = ["broker", "aggregator", "demo"];

pub(crate) fn run() -> anyhow::Result<()> {
    // Asked now: the build of the tests puts another file in the place of this program, under the same name.
    let this = std::env::current_exe()?;
    let mut steps = Steps::default();
    let client = shell::root().join("web-ui/client");
    let npm = |args: &[&str]| {
        let mut npm = Command::new("npm");
        npm.current_dir(&client).args(args);
        npm
    };
    steps.run("programs", check_programs)?;
    steps.command("format", cargo(&["fmt", "--all", "--check"]))?;
    steps.command(
        "dependencies",
        cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]),
    )?;
    steps.command("client: install", npm(&["ci", "--no-audit", "--no-fund"]))?;
    steps.command("client: check", npm(&["run", "check"]))?;
    steps.command("client: test", npm(&["test"]))?;
    steps.command(
        "clippy",
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    steps.command("doc", doc)?;
    steps.command("test", cargo(&["test", "--workspace", "--locked"]))?;
    steps.run("test on Apache Kafka", || test_on_apache_kafka(&this))?;
    steps.print();
    Ok(())
}

fn check_programs() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for (program, flag, package) in PROGRAMS {
        // Whatever it answers: it is there.
        if let Err(error) = Command::new(program).arg(flag).output() {
            let fix = format!("apt-get install {package}");
            missing.push(shell::missing(program, &error, &fix).to_string());
        }
    }
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let paho = Command::new(&python)
        .args(["-c", "import paho.mqtt"])
        .output();
    if !paho.is_ok_and(|output| output.status.success()) {
        missing.push(format!(
            "{python} has no paho-mqtt: pip install paho-mqtt in a venv and set PYTHON to its python"
        ));
    }
    if !missing.is_empty() {
        bail!("{}", missing.join("; "));
    }
    Ok(())
}

fn test_on_apache_kafka(xtask: &Path) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("convoy-ci-kafka-{}", std::process::id()));
    let cluster = Cluster::start(&Options {
        nodes: 1,
        dir: dir.clone(),
        port: 0,
    })?;
    // Of the whole workspace, so that nothing is built again: another choice of members has other features.
    let mut test = cargo(&["test", "--workspace", "--locked"]);
    for name in kafka_tests()? {
        test.arg("--test").arg(name);
    }
    test.env("TEST_KAFKA", cluster.bootstrap_servers())
        // Tests that kill their Kafka start one of their own with this program.
        .env("TEST_KAFKA_CONTROL", xtask);
    let result = shell::run(&mut test, "see CONTRIBUTING.md");
    drop(cluster);
    // After a failure the server's log stays, to be looked at.
    result.with_context(|| format!("kafka's log is in {}", dir.display()))?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("can't remove {}", dir.display()))
}

/// The names of the tests in the `tests` folders of [`KAFKA_MEMBERS`].
fn kafka_tests() -> anyhow::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for member in KAFKA_MEMBERS {
        let folder = shell::root().join(member).join("tests");
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("can't read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let is_test =
                path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
            names.extend(path.file_stem().filter(|_| is_test).map(ToOwned::to_owned));
        }
    }
    Ok(names)
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(shell::root()).args(args);
    cargo
}

/// The steps that were run, with their times.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn command(&mut self, name: &'static str, mut command: Command) -> anyhow::Result<()> {
        self.run(name, || {
            eprintln!("$ {}", shell::line(&command));
            shell::run(&mut command, "see CONTRIBUTING.md")
        })
    }

    fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        eprintln!("==> {name}");
        let started = Instant::now();
        let result = step().with_context(|| format!("{name} failed"));
        self.0.push((name, started.elapsed()));
        if result.is_err() {
            self.print();
        }
        result
    }

    fn print(&self) {
        for (name, time) in &self.0 {
            eprintln!("{:>6.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        eprintln!("{:>6.1} s  in all", total.as_secs_f64());
    }
}
