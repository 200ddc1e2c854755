//! Key templates: text with a pattern's captures in it, written and read back.
//!
//! Reading gives the tail, or else the last capture, what the others leave: those before it take the text up to the
//! first place where the text behind them stands, those after it, from the end, the text behind the last place of the
//! text in front of them. So a template with one capture can always be read back, and one with several whenever each
//! text between two holds a `/`, since only the tail can. Where that is not sure, each key is read back before it is used.

use std::borrow::Cow;
use std::fmt;

use super::pattern::{CAPTURES_MAX, Pattern, Values};
use super::shape::KeyShape;

#[derive(Debug)]
pub(super) struct KeyTemplate {
    written: String,
    /// Text in front of the first capture; all of it when there is no capture.
    prefix: String,
    parts: Vec<Part>,
    /// The place in `parts` of the capture that takes what the others leave.
    remainder: usize,
    /// Whether every key can be read back.
    is_sure: bool,
}

/// A capture and the text behind it, which may be missing behind the last one only.
#[derive(Debug)]
struct Part {
    /// The capture's place in the pattern.
    capture: usize,
    is_tail: bool,
    then: String,
}

impl KeyTemplate {
    /// Every capture of the pattern stands in the key once, with text between two of them: so the key can be read back.
    pub(super) fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        if !pattern.is_all_named() {
            return Err(
                "a key template needs named captures, {name} or {name#}, instead of + and #".into(),
            );
        }
        let (prefix, mut rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        let mut parts: Vec<Part> = Vec::new();
        while let Some(inner) = rest.strip_prefix('{') {
            let (name, after) = inner.split_once('}').ok_or("key: `{` without `}`")?;
            if parts.last().is_some_and(|before| before.then.is_empty()) {
                return Err(format!(
                    "key: text is needed before {{{name}}}, or it can't be read back"
                ));
            }
            let capture = pattern
                .names()
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| format!("key: {{{name}}} is not in the mqtt pattern"))?;
            let (then, next) = after.split_at(after.find('{').unwrap_or(after.len()));
            parts.push(Part {
                capture,
                is_tail: pattern.is_tail(capture),
                then: then.to_owned(),
            });
            rest = next;
        }
        for (at, name) in pattern.names().iter().enumerate() {
            if parts.iter().filter(|part| part.capture == at).count() != 1 {
                return Err(format!(
                    "key: {{{name}}} must stand in it once, or the mqtt topic can't be read back"
                ));
            }
        }
        let remainder = parts.iter().position(|part| part.is_tail);
        let between = &parts[..parts.len().saturating_sub(1)];
        let is_sure = between.iter().all(|part| part.then.contains('/'));
        Ok(Self {
            written: text.to_owned(),
            prefix: prefix.to_owned(),
            remainder: remainder.unwrap_or(between.len()),
            parts,
            is_sure,
        })
    }

    /// The key of a topic; `None` when it could not be read back.
    pub(super) fn key<'t>(&self, values: &Values<'t>) -> Option<Cow<'t, str>> {
        if let ([part], true, true) = (
            self.parts.as_slice(),
            self.prefix.is_empty(),
            self.parts.iter().all(|part| part.then.is_empty()),
        ) {
            return Some(Cow::Borrowed(values[part.capture]));
        }
        let key = self.fill(values);
        let is_same = |read: Values<'_>| {
            let mut captures = self.parts.iter().map(|part| part.capture);
            captures.all(|at| read[at] == values[at])
        };
        let can_be_read = self.is_sure || self.read(&key).is_some_and(is_same);
        can_be_read.then_some(Cow::Owned(key))
    }

    /// The key with these values, whether or not it can be read back.
    pub(super) fn fill(&self, values: &Values<'_>) -> String {
        let length: usize = values.iter().map(|value| value.len()).sum();
        let mut key = String::with_capacity(self.written.len() + length);
        key.push_str(&self.prefix);
        for part in &self.parts {
            key.push_str(values[part.capture]);
            key.push_str(&part.then);
        }
        key
    }

    /// The values in a key; `None` when it does not fit.
    pub(super) fn read<'k>(&self, key: &'k str) -> Option<Values<'k>> {
        let mut values = [""; CAPTURES_MAX];
        let mut rest = key.strip_prefix(self.prefix.as_str())?;
        let Some(last) = self.parts.last() else {
            return rest.is_empty().then_some(values);
        };
        rest = rest.strip_suffix(last.then.as_str())?;
        for part in &self.parts[..self.remainder] {
            let (value, behind) = rest.split_once(part.then.as_str())?;
            values[part.capture] = part.fitting(value)?;
            rest = behind;
        }
        for neighbours in self.parts[self.remainder..].windows(2).rev() {
            let [before, part] = neighbours else { continue };
            let (in_front, value) = rest.rsplit_once(before.then.as_str())?;
            values[part.capture] = part.fitting(value)?;
            rest = in_front;
        }
        let remainder = &self.parts[self.remainder];
        values[remainder.capture] = remainder.fitting(rest)?;
        Some(values)
    }

    /// What is known of all keys.
    pub(super) fn shape(&self) -> KeyShape<'_> {
        let texts = self.parts.iter().map(|part| &part.then);
        let slashes = texts
            .chain([&self.prefix])
            .map(|text| text.matches('/').count())
            .sum();
        KeyShape {
            head: &self.prefix,
            tail: self.parts.last().map_or(&self.prefix, |last| &last.then),
            slashes,
            is_open: self.parts.iter().any(|part| part.is_tail),
        }
    }
}

impl Part {
    /// Only the tail holds a `/`: another value with one would be another topic's.
    fn fitting<'k>(&self, value: &'k str) -> Option<&'k str> {
        (self.is_tail || !value.contains('/')).then_some(value)
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
