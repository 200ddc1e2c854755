//! Topic names and topic filters (§4.7), valid by construction.

use std::fmt;

use crate::Violation;
use crate::wire::{FIELD_BYTES_MAX, Text};

/// The most levels a name or filter may have: a bound on the work of matching. A guess that no real tree comes near.
pub const LEVELS_MAX: usize = 128;

/// A topic name: not empty, no wildcards, no U+0000, at most 65,535 bytes and [`LEVELS_MAX`] levels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Text);

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Violation::TopicName`].
    pub fn new(text: Text) -> Result<Self, Violation> {
        let fits = !text.is_empty()
            && text.len() <= FIELD_BYTES_MAX
            && !text.contains(['+', '#'])
            && levels(&text).count() <= LEVELS_MAX;
        if fits {
            Ok(Self(text))
        } else {
            Err(Violation::TopicName)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for TopicName {
    type Error = Violation;

    fn try_from(text: &str) -> Result<Self, Violation> {
        if text.contains('\0') || text.len() > FIELD_BYTES_MAX {
            return Err(Violation::TopicName);
        }
        Self::new(text.into())
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic filter: `+` stands alone on its level, `#` alone on the last one. A `$share/group/` before it is no part of
/// the filter itself: see [`TopicFilter::share_group`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter {
    text: Box<str>,
    /// Where the filter starts: after `$share/group/`, or 0.
    start: usize,
}

impl TopicFilter {
    /// Checks a filter.
    ///
    /// # Errors
    /// [`Violation::TopicFilter`].
    pub fn new(text: &str) -> Result<Self, Violation> {
        let start = share_prefix_len(text)?;
        let filter = &text[start..];
        let mut rest = levels(filter).peekable();
        let mut fits = !filter.is_empty()
            && text.len() <= FIELD_BYTES_MAX
            && !text.contains('\0')
            && levels(text).count() <= LEVELS_MAX;
        while let Some(level) = rest.next() {
            let is_last = rest.peek().is_none();
            fits &= match level {
                "+" => true,
                "#" => is_last,
                other => !other.contains(['+', '#']),
            };
        }
        if fits {
            Ok(Self {
                text: text.into(),
                start,
            })
        } else {
            Err(Violation::TopicFilter)
        }
    }

    /// The filter without `$share/group/`.
    pub fn as_str(&self) -> &str {
        &self.text[self.start..]
    }

    /// The filter as the client wrote it.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// The group of a shared subscription (§4.8.2).
    pub fn share_group(&self) -> Option<&str> {
        self.text[..self.start]
            .strip_prefix("$share/")?
            .strip_suffix('/')
    }

    /// Whether the filter has a `+` or `#`.
    pub fn has_wildcards(&self) -> bool {
        self.as_str().contains(['+', '#'])
    }

    /// Whether a topic name matches (§4.7.1, and §4.7.2: a wildcard on the first level does not match `$…`).
    pub fn matches(&self, name: &str) -> bool {
        let filter = self.as_str();
        if name.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut names = levels(name);
        for level in levels(filter) {
            match (level, names.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The levels of a name or filter.
pub fn levels(text: &str) -> impl Iterator<Item = &str> {
    text.split('/')
}

/// How long `$share/group/` is; 0 for a filter that is not shared.
fn share_prefix_len(text: &str) -> Result<usize, Violation> {
    let Some(rest) = text.strip_prefix("$share/") else {
        return Ok(0);
    };
    // [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a group of at least one character, without wildcards, and a filter behind it.
    match rest.split_once('/') {
        Some((group, filter))
            if !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty() =>
        {
            Ok(text.len() - filter.len())
        }
        _ => Err(Violation::TopicFilter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_4_7_matching_is_as_in_the_standard() {
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/w",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "sport/tennis", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/a", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a", "A", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
        ] {
            let matches = TopicFilter::new(filter).unwrap().matches(name);
            assert_eq!(matches, expected, "{filter} ~ {name}");
        }
    }

    #[test]
    fn mqtt_4_7_1_wildcards_stand_alone_and_hash_is_last() {
        for bad in [
            "",
            "sport/tennis#",
            "sport/#/ranking",
            "sport+",
            "+a",
            "a/b+",
        ] {
            assert_eq!(TopicFilter::new(bad), Err(Violation::TopicFilter), "{bad}");
        }
        for good in ["+", "#", "/", "+/tennis/#", "a/+/b/#"] {
            assert!(TopicFilter::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn mqtt_4_8_2_shared_filters_have_a_group_and_a_filter() {
        let shared = TopicFilter::new("$share/g/a/+").unwrap();
        assert_eq!(shared.share_group(), Some("g"));
        assert_eq!(shared.as_str(), "a/+");
        assert!(shared.matches("a/b"));
        for bad in ["$share/g", "$share/g/", "$share//a", "$share/+/a"] {
            assert_eq!(TopicFilter::new(bad), Err(Violation::TopicFilter), "{bad}");
        }
        assert_eq!(TopicFilter::new("a").unwrap().share_group(), None);
    }

    #[test]
    fn mqtt_3_3_2_2_names_have_no_wildcards() {
        for bad in ["", "a/+", "#", "a\0"] {
            assert_eq!(
                TopicName::try_from(bad),
                Err(Violation::TopicName),
                "{bad:?}"
            );
        }
        assert!(TopicName::try_from("/").is_ok());
        let long = "a".repeat(FIELD_BYTES_MAX + 1);
        assert_eq!(
            TopicName::try_from(long.as_str()),
            Err(Violation::TopicName)
        );
        assert!(TopicName::try_from(&long[1..]).is_ok());
        let deep = "a/".repeat(LEVELS_MAX);
        assert_eq!(
            TopicName::try_from(deep.as_str()),
            Err(Violation::TopicName)
        );
    }
}
