//! Settings: a flag beats an environment variable beats the `--config` file beats the default.
//!
//! Each binary has one `clap` struct; its `--help` is the reference. The file is TOML: a key is a flag's name with `_`
//! for `-`; tables belong to the part, which reads them itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser};

/// A setting that can't be used: which, where, and what would be right, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(pub String);

/// The settings of one binary.
#[derive(Debug)]
pub struct Settings<A> {
    /// Flags, variables and the file's plain keys.
    pub args: A,
    /// The file's tables, by name; empty without a file.
    pub tables: toml::Table,
    /// The file, to name it in errors.
    pub file: Option<PathBuf>,
}

/// Why there are no settings to run with.
#[derive(Debug)]
pub enum Stop {
    /// `--help` or `--version`: print this and end well.
    Print(String),
    /// Something is wrong.
    Bad(BadSetting),
}

impl<A> Settings<A> {
    /// A table of plain values as text, e.g. `[kafka]`, whose keys are a library's own names; empty when the file has
    /// no such table.
    ///
    /// # Errors
    /// When it is not a table, or a value is a list or a table.
    pub fn plain_table(&self, name: &str) -> Result<Vec<(String, String)>, BadSetting> {
        let file = self
            .file
            .as_deref()
            .map_or_else(String::new, |path| path.display().to_string());
        let entries = match self.tables.get(name) {
            None => return Ok(Vec::new()),
            Some(toml::Value::Table(entries)) => entries,
            Some(_) => {
                return Err(BadSetting(format!(
                    "`{name}` in {file} must be a table: [{name}]"
                )));
            }
        };
        entries
            .iter()
            .map(|(key, value)| match plain(value) {
                Some(text) => Ok((key.clone(), text)),
                None => Err(BadSetting(format!(
                    "setting `{key}` of [{name}] in {file} must be a plain value; a key with dots stands in quotes"
                ))),
            })
            .collect()
    }
}

impl From<BadSetting> for Stop {
    fn from(bad: BadSetting) -> Self {
        Self::Bad(bad)
    }
}

/// Reads the settings from `argv` (its first element is the program's name), the environment and the file.
///
/// # Errors
/// [`Stop::Bad`] when a key of the file is neither a flag nor one of `tables`, or a value does not fit.
pub fn load<A: Parser>(argv: Vec<OsString>, tables: &[&str]) -> Result<Settings<A>, Stop> {
    let file = config_path(&argv);
    let entries = file
        .as_deref()
        .map_or_else(|| Ok(toml::Table::new()), read)?;
    let (own_tables, keys): (toml::Table, toml::Table) = entries
        .into_iter()
        .partition(|(name, _)| tables.contains(&name.as_str()));

    let mut command = ignore_empty_variables(A::command().arg(config_arg()));
    for (key, value) in &keys {
        command = set_default(command, key, value, file.as_deref())?;
    }
    let matches = command
        .try_get_matches_from(argv.clone())
        .map_err(|error| stop(&error, &argv, &keys, file.as_deref()))?;
    let args = A::from_arg_matches(&matches)
        .map_err(|error| stop(&error, &argv, &keys, file.as_deref()))?;
    Ok(Settings {
        args,
        tables: own_tables,
        file,
    })
}

fn config_arg() -> Arg {
    Arg::new("config")
        .long("config")
        .env("CONFIG_FILE")
        .value_name("FILE.toml")
        .help("Settings file; flags and variables beat it")
}

/// The file has to be known before the flags are parsed, since it gives their defaults.
fn config_path(argv: &[OsString]) -> Option<PathBuf> {
    let mut args = argv.iter().skip(1);
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    std::env::var_os("CONFIG_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

fn read(path: &Path) -> Result<toml::Table, BadSetting> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadSetting(format!("can't read {}: {error}", path.display())))?;
    text.parse::<toml::Table>().map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        BadSetting(format!(
            "{} line {line}: {}",
            path.display(),
            error.message()
        ))
    })
}

/// A variable that is set to nothing, as compose files leave them, counts as not set.
fn ignore_empty_variables(command: Command) -> Command {
    command.mut_args(|arg| {
        let empty = arg
            .get_env()
            .and_then(std::env::var_os)
            .is_some_and(|value| value.is_empty());
        if empty {
            arg.env(Resettable::Reset)
        } else {
            arg
        }
    })
}

fn set_default(
    command: Command,
    key: &str,
    value: &toml::Value,
    file: Option<&Path>,
) -> Result<Command, BadSetting> {
    let file = file.map_or_else(String::new, |path| path.display().to_string());
    let id = key.replace('-', "_");
    let known = |arg: &&Arg| arg.get_id() == id.as_str() && id != "config";
    if !command.get_arguments().any(|arg| known(&arg)) {
        return Err(BadSetting(format!(
            "unknown setting `{key}` in {file}{}",
            suggestion(&command, &id)
        )));
    }
    let values = match value {
        toml::Value::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>(),
        one => plain(one).map(|text| vec![text]),
    }
    .ok_or_else(|| BadSetting(format!("setting `{key}` in {file} must be a plain value")))?;
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            Some(value.to_string())
        }
        _ => None,
    }
}

/// The known key that shares the longest prefix with the wrong one, when they share enough to be a slip.
fn suggestion(command: &Command, wrong: &str) -> String {
    let shared = |known: &str| {
        wrong
            .bytes()
            .zip(known.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    command
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .filter(|id| *id != "config")
        .max_by_key(|id| shared(id))
        .filter(|id| shared(id) >= 3)
        .map_or_else(
            || "; see --help for the settings".to_owned(),
            |id| format!("; did you mean `{id}`? see --help for the settings"),
        )
}

/// Turns clap's error, which has several lines, into one that says where the wrong value came from.
fn stop(error: &clap::Error, argv: &[OsString], keys: &toml::Table, file: Option<&Path>) -> Stop {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return Stop::Print(error.render().to_string());
    }
    let text = error.render().to_string();
    let first = text
        .lines()
        .take_while(|line| !line.is_empty() && !line.starts_with("Usage"))
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let first = first.trim_start_matches("error: ");
    let place = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => place(arg, argv, keys, file),
        _ => String::new(),
    };
    Stop::Bad(BadSetting(format!("{first}{place}; see --help")))
}

fn place(arg: &str, argv: &[OsString], keys: &toml::Table, file: Option<&Path>) -> String {
    let flag = arg.split([' ', '=']).next().unwrap_or(arg);
    let id = flag.trim_start_matches('-').replace('-', "_");
    let in_argv = argv
        .iter()
        .any(|word| word.to_string_lossy().split('=').next() == Some(flag));
    let in_file = keys.keys().any(|key| key.replace('-', "_") == id);
    match file {
        _ if in_argv => String::new(),
        Some(file) if in_file => format!(" (in {} or its variable)", file.display()),
        _ => " (from its environment variable)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[derive(Debug, Parser)]
    #[command(name = "part")]
    struct Args {
        /// A port.
        #[arg(long, env = "SERVICE_TEST_PORT", default_value_t = 1)]
        some_port: u16,
        /// Names.
        #[arg(long, value_delimiter = ',')]
        names: Vec<String>,
        /// A switch.
        #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
        enabled: bool,
    }

    fn try_load(file: &str, flags: &[&str]) -> Result<Settings<Args>, String> {
        let mut temp = tempfile::NamedTempFile::new().unwrap();
        temp.write_all(file.as_bytes()).unwrap();
        let mut argv: Vec<OsString> = vec!["part".into(), "--config".into(), temp.path().into()];
        argv.extend(flags.iter().map(OsString::from));
        load(argv, &["kafka"]).map_err(|stop| match stop {
            Stop::Bad(bad) => bad.0.replace(temp.path().to_str().unwrap(), "FILE"),
            Stop::Print(text) => text,
        })
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = "some_port = 7\nnames = ['a', 'b']\nenabled = true\n[kafka]\n'linger.ms' = 3";
        let settings = try_load(file, &[]).unwrap();
        assert_eq!(settings.args.some_port, 7);
        assert_eq!(settings.args.names, ["a", "b"]);
        assert!(settings.args.enabled);
        assert_eq!(settings.tables["kafka"]["linger.ms"].as_integer(), Some(3));
        assert_eq!(
            try_load(file, &["--some-port", "9"])
                .unwrap()
                .args
                .some_port,
            9
        );
        assert_eq!(try_load("", &[]).unwrap().args.some_port, 1);
    }

    #[test]
    fn a_plain_table_is_text_and_anything_else_says_where() {
        let table = |file: &str| {
            let settings = try_load(file, &[])?;
            let file = settings.file.clone().unwrap_or_default();
            settings
                .plain_table("kafka")
                .map_err(|bad| bad.0.replace(file.to_str().unwrap(), "FILE"))
        };
        assert_eq!(table(""), Ok(vec![]));
        assert_eq!(
            table("[kafka]\n'linger.ms' = 3\n'acks' = 'all'"),
            Ok(vec![
                ("acks".into(), "all".into()),
                ("linger.ms".into(), "3".into())
            ])
        );
        assert_eq!(
            table("[kafka]\nlinger.ms = 3"),
            Err("setting `linger` of [kafka] in FILE must be a plain value; a key with dots stands in quotes".into())
        );
        assert_eq!(
            table("kafka = 3"),
            Err("`kafka` in FILE must be a table: [kafka]".into())
        );
    }

    #[test]
    fn errors_are_one_line_and_name_the_place() {
        for (file, flags, expected) in [
            (
                "some_prt = 1",
                &[][..],
                "unknown setting `some_prt` in FILE; did you mean `some_port`? see --help for the settings",
            ),
            ("a = \n", &[], "FILE line 1: "),
            (
                "some_port = 70000",
                &[],
                "invalid value '70000' for '--some-port <SOME_PORT>': 70000 is not in 0..=65535 (in FILE or its variable); see --help",
            ),
            (
                "",
                &["--some-port", "x"],
                "invalid value 'x' for '--some-port <SOME_PORT>': invalid digit found in string; see --help",
            ),
            (
                "",
                &["--nope"],
                "unexpected argument '--nope' found; see --help",
            ),
        ] {
            let error = try_load(file, flags).unwrap_err();
            assert!(error.starts_with(expected), "`{error}` is not `{expected}`");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn help_is_printed_not_an_error() {
        let argv = vec!["part".into(), "--help".into()];
        assert!(matches!(
            load::<Args>(argv, &[]),
            Err(Stop::Print(text)) if text.contains("--some-port") && text.contains("--config")
        ));
    }
}
