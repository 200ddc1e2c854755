//! MQTT patterns: literal levels, captures and wildcards, matched against a topic and filled back in.

use std::fmt;

use mqtt::TopicFilter;

/// Captures of one pattern at most: so that their values fit an array. A guess that no real tree comes near.
pub(super) const CAPTURES_MAX: usize = 16;

/// What the captures of a pattern are in one topic or key, in the pattern's order; those that it has not are empty.
pub(super) type Values<'t> = [&'t str; CAPTURES_MAX];

#[derive(Debug)]
pub(super) struct Pattern {
    written: String,
    /// The pattern as an MQTT filter: captures become wildcards.
    filter: String,
    /// The literal levels in front, with the slash behind them unless `#` follows, which may take it or nothing.
    prefix: String,
    /// The levels behind, from the first that is no literal.
    levels: Vec<Level>,
    starts_with_literal: bool,
    names: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Level {
    Literal(String),
    /// One level with a name.
    Capture(String),
    /// `+`: any one level, not named.
    Any,
    /// The tail: one level at least; `None` for MQTT's own `#`, which takes no level, too.
    Tail(Option<String>),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut levels = text
            .split('/')
            .map(Level::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let filter = levels
            .iter()
            .map(Level::as_filter)
            .collect::<Vec<_>>()
            .join("/");
        TopicFilter::new(&filter).map_err(|_| {
            "`#` and {name#} stand alone on the last level, `+` alone on its level".to_owned()
        })?;
        let names: Vec<String> = levels.iter().filter_map(Level::name).collect();
        if (1..names.len()).any(|at| names[..at].contains(&names[at])) {
            return Err("a capture's name stands twice".into());
        }
        if names.len() > CAPTURES_MAX {
            return Err(format!("more than {CAPTURES_MAX} captures"));
        }
        let literals = levels
            .iter()
            .take_while(|level| matches!(level, Level::Literal(_)))
            .count();
        let behind = levels.split_off(literals);
        let mut prefix = levels
            .iter()
            .map(Level::as_filter)
            .collect::<Vec<_>>()
            .join("/");
        if literals > 0 && !matches!(behind.first(), None | Some(Level::Tail(None))) {
            prefix.push('/');
        }
        Ok(Self {
            written: text.to_owned(),
            filter,
            prefix,
            levels: behind,
            starts_with_literal: literals > 0,
            names,
        })
    }

    pub(super) fn as_filter(&self) -> &str {
        &self.filter
    }

    /// The captures' names, in order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether every wildcard has a name.
    pub(super) fn is_all_named(&self) -> bool {
        !self
            .levels
            .iter()
            .any(|level| matches!(level, Level::Any | Level::Tail(None)))
    }

    /// Whether the capture at this place in [`Pattern::names`] is the tail, the only one that may hold a `/`.
    pub(super) fn is_tail(&self, at: usize) -> bool {
        at + 1 == self.names.len() && matches!(self.levels.last(), Some(Level::Tail(Some(_))))
    }

    /// What the captures are in `mqtt_topic`; `None` when it does not match.
    pub(super) fn matches<'t>(&self, mqtt_topic: &'t str) -> Option<Values<'t>> {
        let rest = mqtt_topic.strip_prefix(self.prefix.as_str())?;
        let mut values = [""; CAPTURES_MAX];
        if !self.starts_with_literal {
            // [MQTT-4.7.2-1] holds for rules, too: a wildcard in front does not take `$…`.
            if mqtt_topic.starts_with('$') {
                return None;
            }
        } else if matches!(self.levels.first(), None | Some(Level::Tail(None))) {
            let ends = rest.is_empty() || (!self.levels.is_empty() && rest.starts_with('/'));
            return ends.then_some(values);
        }
        let mut rest = Some(rest);
        let mut free = values.iter_mut();
        for level in &self.levels {
            match level {
                Level::Tail(None) => return Some(values),
                Level::Tail(Some(_)) => {
                    *free.next()? = rest?;
                    return Some(values);
                }
                Level::Literal(_) | Level::Capture(_) | Level::Any => {}
            }
            let (text, deeper) = match rest?.split_once('/') {
                Some((text, deeper)) => (text, Some(deeper)),
                None => (rest?, None),
            };
            match level {
                Level::Literal(literal) if literal != text => return None,
                Level::Capture(_) => *free.next()? = text,
                _ => {}
            }
            rest = deeper;
        }
        rest.is_none().then_some(values)
    }

    /// The MQTT topic that has these values, which hold no `/` except in the tail. For a pattern that is all named;
    /// `None` when a wildcard in front would take `$…`.
    pub(super) fn fill(&self, values: &Values<'_>) -> Option<String> {
        let length: usize = values.iter().map(|value| value.len()).sum();
        let mut topic = String::with_capacity(self.filter.len() + length);
        topic.push_str(&self.prefix);
        let mut values = values.iter();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                topic.push('/');
            }
            match level {
                Level::Literal(text) => topic.push_str(text),
                Level::Capture(_) | Level::Tail(Some(_)) => topic.push_str(values.next()?),
                Level::Any | Level::Tail(None) => return None,
            }
        }
        (self.starts_with_literal || !topic.starts_with('$')).then_some(topic)
    }

    /// A topic that matches, with `level` for what is no literal, and several of them for the tail.
    pub(super) fn example(&self, level: &str) -> String {
        self.filter
            .split('/')
            .map(|written| match written {
                "+" => level.to_owned(),
                "#" => format!("{level}/{level}"),
                literal => literal.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("/")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Level {
    fn parse(level: &str) -> Result<Self, String> {
        match level {
            "+" => return Ok(Self::Any),
            "#" => return Ok(Self::Tail(None)),
            _ => {}
        }
        let Some(inner) = level
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        else {
            if level.contains(['{', '}']) {
                return Err(format!(
                    "`{level}`: a capture is a level of its own, {{name}} or {{name#}}"
                ));
            }
            return Ok(Self::Literal(level.to_owned()));
        };
        let (name, is_tail) = match inner.strip_suffix('#') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!(
                "`{level}`: a capture's name is of a-z, A-Z, 0-9 and _"
            ));
        }
        Ok(if is_tail {
            Self::Tail(Some(name.to_owned()))
        } else {
            Self::Capture(name.to_owned())
        })
    }

    fn as_filter(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Capture(_) | Self::Any => "+",
            Self::Tail(None) => "#",
            // One level at least.
            Self::Tail(Some(_)) => "+/#",
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Capture(name) | Self::Tail(Some(name)) => Some(name.clone()),
            _ => None,
        }
    }
}
