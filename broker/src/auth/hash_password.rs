//! `broker hash-password USER`: a line of the users file that has no password in it.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use clap::Parser;
use service::BadSetting;
use service::config::Stop;

use super::users::SALT_BYTES;
use super::verifier::{ITERATIONS_MAX, ITERATIONS_MIN, Verifier};
use crate::command;

/// Read a password from standard input and print the user's line of the users file, without the password
#[derive(Debug, Parser)]
#[command(
    name = "broker hash-password",
    bin_name = "broker hash-password",
    version
)]
struct Args {
    /// The user
    user: String,
    /// How often the password is hashed: more makes guessing slower, and each login, too
    #[arg(long, default_value_t = 15_000,
          value_parser = clap::value_parser!(u32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

/// Runs the command; `argv` begins with a name. The exit status is 0, or 2 with one line on standard error.
pub fn hash_password(argv: Vec<OsString>) -> ExitCode {
    command::end("hash-password", run(argv))
}

fn run(argv: Vec<OsString>) -> Result<String, Stop> {
    let args = Args::try_parse_from(argv).map_err(|error| stop(&error))?;
    let mut password = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut password)
        .map_err(|error| BadSetting(format!("can't read the password: {error}")))?;
    // What a terminal or `echo` adds is no part of it.
    Ok(line(&args, password.trim_end_matches(['\r', '\n']))?)
}

fn line(args: &Args, password: &str) -> Result<String, BadSetting> {
    let user = args.user.trim();
    if user.is_empty() || user.starts_with('#') || user.contains(['=', '\n', '\r']) {
        return Err(BadSetting(format!(
            "`{user}` can't stand in a users file: a name without =, and without # in front, would be right"
        )));
    }
    if password.is_empty() {
        return Err(BadSetting(
            "the password is empty; give one on standard input".into(),
        ));
    }
    let salt: [u8; SALT_BYTES] = rand::random();
    let verifier = Verifier::derive(password.as_bytes(), salt.to_vec(), args.iterations);
    Ok(format!("{user}={}", verifier.to_text()))
}

/// Help, or clap's error on one line.
fn stop(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return Stop::Print(text);
    }
    let lines: Vec<&str> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    let line = lines.join(" ");
    Stop::Bad(BadSetting(line.trim_start_matches("error: ").to_owned()))
}
