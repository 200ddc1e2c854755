//! Running other programs, and where things are.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// Where fetched and generated things live that outlast a build: `$XDG_CACHE_HOME/convoy` or `~/.cache/convoy`.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()
            .context("no home directory: set XDG_CACHE_HOME")?
            .join(".cache"),
    };
    Ok(base.join("convoy"))
}

/// Runs `command` to its end; `fix` is what helps when the program isn't there.
pub(crate) fn run(command: &mut Command, fix: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|error| missing(&program, &error, fix))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// The error for a program that could not be started.
pub(crate) fn missing(program: &str, error: &std::io::Error, fix: &str) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!("{program} is missing: {fix}"),
        _ => anyhow!("can't start {program}: {error}"),
    }
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
