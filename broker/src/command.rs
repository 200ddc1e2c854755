//! How the commands beside the broker end.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use service::config::Stop;

/// Prints what a command found on standard output, or what is wrong as one line on standard error; the exit status is 0
/// or 2, or 1 when standard output does not take it.
pub(crate) fn end(name: &str, result: Result<String, Stop>) -> ExitCode {
    let text = match result {
        Ok(text) | Err(Stop::Print(text)) => text,
        Err(Stop::Bad(bad)) => {
            eprintln!("broker {name}: {bad}");
            return ExitCode::from(2);
        }
    };
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it, `head` for one, has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker {name}: can't write: {error}");
            ExitCode::FAILURE
        }
    }
}
