//! Child processes, and what Linux says of a process: its CPU time and its memory.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a process may take until it says that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the kernel may take to end a process that was killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A child process with its standard output; killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) pid: u32,
}

impl Process {
    pub(crate) fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {name}"))?;
        let pid = child.id().context("a process that has just started")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            lines: BufReader::new(stdout).lines(),
            pid,
        })
    }

    /// The next line of its standard output.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(START_TIMEOUT, self.lines.next_line())
            .await
            .with_context(|| format!("{} said nothing for {START_TIMEOUT:?}", self.name))??;
        match line {
            Some(line) => Ok(line),
            None => bail!("{} ended with {}", self.name, self.child.wait().await?),
        }
    }

    /// # Errors
    /// When it has ended.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.name),
        }
    }
}

impl Drop for Process {
    /// Returns when it has ended, so that its ports and files are free.
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.start_kill();
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// User and system CPU time of a process until now, all threads.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    // The name of the program comes second, in parentheses, and may hold anything.
    let fields = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace());
    let ticks: Option<u64> = fields.and_then(|mut fields| {
        let user: u64 = fields.nth(11)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    });
    // Linux shows a hundredth of a second to programs whatever its own tick is (USER_HZ).
    let ticks = ticks.with_context(|| format!("{path} has another form than expected"))?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Memory of a process in bytes: its proportional set size, in which shared pages count by their share.
pub(crate) fn memory(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    let kib: Option<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    Ok(kib.with_context(|| format!("{path} has no Pss"))? * 1024)
}

/// A program that was built beside this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{} is not there: build it first", path.display());
    }
    Ok(path)
}

/// Counts the system calls of a process, with strace.
pub(crate) struct SystemCalls {
    strace: Child,
    file: tempfile::NamedTempFile,
}

impl SystemCalls {
    /// Starts to count; `None`, with a hint, when strace isn't installed.
    pub(crate) async fn of(pid: u32) -> anyhow::Result<Option<Self>> {
        let file = tempfile::NamedTempFile::new()?;
        let strace = Command::new("strace")
            .args(["-c", "-f", "-p", &pid.to_string(), "-o"])
            .arg(file.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut strace = match strace {
            Ok(strace) => strace,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!(
                    "strace is not there, so system calls are not counted: install Debian's package `strace`"
                );
                return Ok(None);
            }
            Err(error) => return Err(error).context("can't start strace"),
        };
        let stderr = strace.stderr.take().context("standard error is piped")?;
        // It says so of each thread; after the first it has all.
        let line = BufReader::new(stderr).lines().next_line().await?;
        match line {
            Some(line) if line.contains("attached") => Ok(Some(Self { strace, file })),
            line => bail!("strace can't attach: {}", line.unwrap_or_default()),
        }
    }

    /// Stops, and returns how many there were.
    pub(crate) async fn count(mut self) -> anyhow::Result<u64> {
        let pid = self.strace.id().context("strace has ended")?;
        let killed = Command::new("kill")
            .args(["-INT", &pid.to_string()])
            .status();
        killed.await.context("can't stop strace")?;
        self.strace.wait().await?;
        let text = std::fs::read_to_string(self.file.path())?;
        // The last line: time, seconds, microseconds a call, calls, errors, "total".
        let total = text.lines().rev().find(|line| line.ends_with("total"));
        total
            .and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
            .with_context(|| format!("strace says `{text}`, which has no total"))
    }
}
