//! Fetches Apache Kafka's jars from Maven Central into the project's cache. Maven checks their checksums.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::shell;

/// The release that tests and tasks run on; `docker-compose.yml` names the same.
pub(crate) const VERSION: &str = "4.3.1";

const FIX: &str = "apt-get install default-jre-headless maven";

/// The class path with Kafka's server and tools, fetched when it isn't there yet.
pub(crate) fn class_path() -> anyhow::Result<String> {
    check_java()?;
    let dir = shell::cache()?.join(format!("kafka-{VERSION}"));
    if !dir.is_dir() {
        fetch(&dir)?;
    }
    Ok(format!("{}/*", dir.display()))
}

/// A command that runs a Java class of Kafka.
pub(crate) fn java(class: &str, options: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new("java");
    command
        .args(options)
        .args(["-cp", &class_path()?])
        .arg(class);
    Ok(command)
}

fn fetch(dir: &PathBuf) -> anyhow::Result<()> {
    eprintln!("fetching Apache Kafka {VERSION} from Maven Central");
    // Into a folder of its own that is renamed when complete: a fetch that was cut off is never taken for whole.
    let partial = dir.with_extension(format!("partial-{}", std::process::id()));
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(shell::root().join("xtask/kafka/pom.xml"))
        .arg(format!("-Dkafka.version={VERSION}"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        // Its output is for us alone: what this task prints on standard output is the address.
        .stdout(Stdio::from(std::io::stderr()));
    shell::run(&mut maven, FIX).context("can't fetch Apache Kafka")?;
    if let Err(error) = fs::rename(&partial, dir) {
        fs::remove_dir_all(&partial)?;
        // Another process was faster: its copy serves.
        if !dir.is_dir() {
            return Err(error).with_context(|| format!("can't write {}", dir.display()));
        }
    }
    Ok(())
}

/// Kafka 4 runs on Java 17 and newer.
fn check_java() -> anyhow::Result<()> {
    let output = Command::new("java")
        .arg("-version")
        .output()
        .map_err(|error| shell::missing("java", &error, FIX))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major_version(&text) {
        Some(version) if version >= 17 => Ok(()),
        Some(version) => bail!("kafka needs java 17 or newer, this is {version}: {FIX}"),
        None => bail!("can't tell java's version from `{}`", text.trim()),
    }
}

/// From e.g. `openjdk version "17.0.15" 2025-04-15`; before Java 9 it read `1.8.0`.
fn major_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted.split(['.', '-', '+']);
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_version_is_read_in_each_of_its_forms() {
        for (text, major) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"22-ea\" 2024-03-19", Some(22)),
            ("java version \"1.8.0_392\"", Some(8)),
            ("no java here", None),
        ] {
            assert_eq!(major_version(text), major, "{text}");
        }
    }
}
