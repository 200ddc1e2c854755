//! MQTT patterns and key templates: text with captures, read both ways.

use std::collections::BTreeMap;
use std::fmt;

use mqtt::TopicFilter;

/// Values of captures by name.
pub(super) type Captures = BTreeMap<String, String>;

#[derive(Debug)]
pub(super) struct Pattern {
    written: String,
    /// The pattern as an MQTT filter: captures become wildcards.
    filter: String,
    levels: Vec<Level>,
}

#[derive(Debug)]
enum Level {
    Literal(String),
    Capture(String),
    /// `+`: any one level, not named.
    Any,
    /// The tail: one level at least; `None` for MQTT's own `#`, which takes no level, too.
    Tail(Option<String>),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut levels = Vec::new();
        let mut filter = Vec::new();
        for level in text.split('/') {
            let parsed = Level::parse(level)?;
            filter.push(
                match &parsed {
                    Level::Literal(text) => text.as_str(),
                    Level::Capture(_) | Level::Any => "+",
                    Level::Tail(_) => "#",
                }
                .to_owned(),
            );
            levels.push(parsed);
        }
        let filter = filter.join("/");
        TopicFilter::new(&filter).map_err(|_| {
            "`#` and {name#} stand alone on the last level, `+` alone on its level".to_owned()
        })?;
        let names: Vec<&str> = levels.iter().filter_map(Level::name).collect();
        if names
            .iter()
            .enumerate()
            .any(|(at, name)| names[..at].contains(name))
        {
            return Err("a capture's name stands twice".into());
        }
        Ok(Self {
            written: text.to_owned(),
            filter,
            levels,
        })
    }

    pub(super) fn as_filter(&self) -> &str {
        &self.filter
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(Level::name)
    }

    /// What the captures are in `mqtt_topic`; `None` when it does not match.
    pub(super) fn captures(&self, mqtt_topic: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut rest = Some(mqtt_topic);
        // [MQTT-4.7.2-1] holds for rules, too: a wildcard in front does not take `$…`.
        if mqtt_topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return None;
        }
        for level in &self.levels {
            if let Level::Tail(name) = level {
                match (name, rest) {
                    (None, _) => {}
                    (Some(name), Some(tail)) => {
                        captures.insert(name.clone(), tail.to_owned());
                    }
                    (Some(_), None) => return None,
                }
                return Some(captures);
            }
            let (text, deeper) = match rest?.split_once('/') {
                Some((text, deeper)) => (text, Some(deeper)),
                None => (rest?, None),
            };
            match level {
                Level::Literal(literal) if literal != text => return None,
                Level::Capture(name) => {
                    captures.insert(name.clone(), text.to_owned());
                }
                _ => {}
            }
            rest = deeper;
        }
        rest.is_none().then_some(captures)
    }

    /// The MQTT topic that has these captures.
    pub(super) fn fill(&self, captures: &Captures) -> String {
        let value = |name: &String| captures.get(name).map_or("", String::as_str);
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Literal(text) => text,
                Level::Capture(name) | Level::Tail(Some(name)) => value(name),
                Level::Any | Level::Tail(None) => "",
            })
            .collect();
        levels.join("/")
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

    fn name(&self) -> Option<&str> {
        match self {
            Self::Capture(name) | Self::Tail(Some(name)) => Some(name),
            _ => None,
        }
    }
}

/// A Kafka key with captures in it.
#[derive(Debug)]
pub(super) struct KeyTemplate(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(String),
    Capture(String),
}

impl KeyTemplate {
    /// Every capture of the pattern stands in the key once, with text between two of them: so the key can be read back.
    pub(super) fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        if pattern
            .levels
            .iter()
            .any(|level| matches!(level, Level::Any | Level::Tail(None)))
        {
            return Err(
                "a key template needs named captures, {name} or {name#}, instead of + and #".into(),
            );
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('{') {
                let (name, after) = inner.split_once('}').ok_or("key: `{` without `}`")?;
                if matches!(parts.last(), Some(Part::Capture(_))) {
                    return Err(format!(
                        "key: text is needed before {{{name}}}, or it can't be read back"
                    ));
                }
                parts.push(Part::Capture(name.to_owned()));
                rest = after;
            } else {
                let end = rest.find('{').unwrap_or(rest.len());
                parts.push(Part::Literal(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        let template = Self(parts);
        for name in pattern.names() {
            if template.names().filter(|known| *known == name).count() != 1 {
                return Err(format!(
                    "key: {{{name}}} must stand in it once, or the mqtt topic can't be read back"
                ));
            }
        }
        let stranger = template
            .names()
            .find(|name| !pattern.names().any(|known| known == *name));
        if let Some(name) = stranger {
            return Err(format!("key: {{{name}}} is not in the mqtt pattern"));
        }
        Ok(template)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    pub(super) fn fill(&self, captures: &Captures) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                Part::Capture(name) => captures.get(name).map_or("", String::as_str),
            })
            .collect()
    }

    /// Reads a key: each capture takes the text up to the first place where the literal behind it stands.
    pub(super) fn captures(&self, key: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut rest = key;
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Capture(name) => {
                    let end = match parts.peek() {
                        Some(Part::Literal(next)) => rest.find(next.as_str())?,
                        _ => rest.len(),
                    };
                    captures.insert(name.clone(), rest[..end].to_owned());
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(captures)
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Capture(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}
