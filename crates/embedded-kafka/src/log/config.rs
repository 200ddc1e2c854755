//! Topic settings: the keys, their defaults (Kafka's) and what the log does with them.

use std::collections::BTreeMap;

/// How a setting's value is checked, and its type in `DescribeConfigs`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Boolean,
    /// With its smallest value.
    Int(i64),
    Long(i64),
    Ratio,
    /// One of.
    Choice(&'static [&'static str]),
    /// Any of, comma-separated.
    List(&'static [&'static str]),
}

impl Kind {
    /// Kafka's number for the type of a setting.
    pub(crate) fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Choice(_) => 2,
            Kind::Int(_) => 3,
            Kind::Long(_) => 5,
            Kind::Ratio => 6,
            Kind::List(_) => 7,
        }
    }
}

/// One topic setting.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
}

const fn key(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key {
        name,
        default,
        kind,
    }
}

/// Every topic setting there is. Those that this server has no use for are not here, so that setting them fails.
pub(crate) const KEYS: &[Key] = &[
    key(
        "cleanup.policy",
        "delete",
        Kind::List(&["delete", "compact"]),
    ),
    // Batches are stored as they come: no other codec can be promised.
    key("compression.type", "producer", Kind::Choice(&["producer"])),
    key("delete.retention.ms", "86400000", Kind::Long(0)),
    key("max.message.bytes", "1048588", Kind::Int(0)),
    key(
        "message.timestamp.type",
        "CreateTime",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
    ),
    key("min.cleanable.dirty.ratio", "0.5", Kind::Ratio),
    key("min.compaction.lag.ms", "0", Kind::Long(0)),
    key("min.insync.replicas", "1", Kind::Int(1)),
    key("retention.bytes", "-1", Kind::Long(-1)),
    key("retention.ms", "604800000", Kind::Long(-1)),
    key("segment.bytes", "1073741824", Kind::Int(14)),
    key("segment.ms", "604800000", Kind::Long(1)),
];

/// The settings of a topic, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    pub(crate) delete: bool,
    pub(crate) compact: bool,
    pub(crate) append_time: bool,
    pub(crate) delete_retention_ms: i64,
    pub(crate) max_message_bytes: usize,
    pub(crate) min_dirty_ratio: f64,
    pub(crate) min_compaction_lag_ms: i64,
    /// -1: no limit, here and below.
    pub(crate) retention_bytes: i64,
    pub(crate) retention_ms: i64,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: i64,
    /// What was set, as it was written.
    pub(crate) explicit: BTreeMap<String, String>,
}

impl LogConfig {
    /// Checks the settings; the error names the key and what would be right.
    pub(crate) fn new(explicit: BTreeMap<String, String>) -> Result<LogConfig, String> {
        for (name, value) in &explicit {
            let key = KEYS
                .iter()
                .find(|key| key.name == name)
                .ok_or_else(|| format!("unknown topic setting {name}"))?;
            check(key, value)?;
        }
        let text = |name: &str| -> &str {
            let default = KEYS
                .iter()
                .find(|key| key.name == name)
                .map_or("", |key| key.default);
            explicit.get(name).map_or(default, |value| value.trim())
        };
        let long = |name: &str| -> i64 { text(name).parse().unwrap_or(-1) }; // checked above, defaults are numbers
        let policy: Vec<&str> = text("cleanup.policy").split(',').map(str::trim).collect();
        Ok(LogConfig {
            delete: policy.contains(&"delete"),
            compact: policy.contains(&"compact"),
            append_time: text("message.timestamp.type") == "LogAppendTime",
            delete_retention_ms: long("delete.retention.ms"),
            max_message_bytes: long("max.message.bytes") as usize,
            min_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            segment_bytes: long("segment.bytes") as u64,
            segment_ms: long("segment.ms"),
            explicit,
        })
    }

    /// The value of a setting, set or default.
    pub(crate) fn value<'a>(&'a self, key: &'a Key) -> &'a str {
        self.explicit
            .get(key.name)
            .map_or(key.default, String::as_str)
    }
}

fn check(key: &Key, value: &str) -> Result<(), String> {
    let name = key.name;
    let number = |min: i64, max: i64| match value.trim().parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        _ => Err(format!(
            "{name} must be a whole number from {min} to {max}, not {value:?}"
        )),
    };
    match key.kind {
        Kind::Int(min) => number(min, i64::from(i32::MAX)),
        Kind::Long(min) => number(min, i64::MAX),
        Kind::Boolean if ["true", "false"].contains(&value) => Ok(()),
        Kind::Boolean => Err(format!("{name} must be true or false, not {value:?}")),
        Kind::Ratio
            if value
                .trim()
                .parse()
                .is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio)) =>
        {
            Ok(())
        }
        Kind::Ratio => Err(format!(
            "{name} must be a number from 0 to 1, not {value:?}"
        )),
        Kind::Choice(choices) if choices.contains(&value.trim()) => Ok(()),
        Kind::List(choices) if value.split(',').all(|part| choices.contains(&part.trim())) => {
            Ok(())
        }
        Kind::Choice(choices) | Kind::List(choices) => Err(format!(
            "{name} must be {}, not {value:?}",
            choices.join(" or ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Result<LogConfig, String> {
        LogConfig::new(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        )
    }

    #[test]
    fn every_default_is_valid() {
        for key in KEYS {
            check(key, key.default).unwrap();
        }
        let defaults = config(&[]).unwrap();
        assert!(defaults.delete && !defaults.compact && !defaults.append_time);
        assert_eq!(defaults.retention_ms, 7 * 86_400_000);
    }

    #[test]
    fn both_policies_can_be_set() {
        let both = config(&[("cleanup.policy", "compact,delete")]).unwrap();
        assert!(both.compact && both.delete);
    }

    #[test]
    fn bad_settings_are_named() {
        for (name, value, word) in [
            ("cleanup.policy", "shred", "delete or compact"),
            ("retention.ms", "-2", "from -1"),
            ("segment.bytes", "4294967296", "to 2147483647"),
            ("min.cleanable.dirty.ratio", "2", "from 0 to 1"),
            ("compression.type", "zstd", "must be producer"),
            ("no.such", "1", "unknown topic setting"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(word), "{error}");
        }
    }
}
