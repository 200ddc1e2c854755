//! Access rules as they are written.

use mqtt::TopicFilter;
use service::BadSetting;

use super::{Action, Condition, Outcome, PLACEHOLDERS, Rule};

/// Reads rules; empty lines, lines that start with `//`, and a header are passed over.
pub(super) fn parse(text: &str, place: &str) -> Result<Vec<Rule>, BadSetting> {
    let mut rules = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let is_header = columns
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case("topic"));
        if at == 0 && is_header {
            continue;
        }
        let rule = parse_rule(&columns)
            .map_err(|reason| BadSetting(format!("{place} line {}: {reason}", at + 1)))?;
        rules.push(rule);
    }
    Ok(rules)
}

fn parse_rule(columns: &[&str]) -> Result<Rule, String> {
    let [topic, action, condition, outcome] = columns else {
        return Err(format!(
            "{} columns instead of 4: Topic, Action, Condition, Outcome",
            columns.len()
        ));
    };
    let plain = PLACEHOLDERS
        .iter()
        .fold((*topic).to_owned(), |text, name| text.replace(name, "x"));
    if TopicFilter::new(&plain).is_err() || plain.contains('{') {
        return Err(format!(
            "`{topic}` is not a topic filter; placeholders are {}",
            PLACEHOLDERS.join(", ")
        ));
    }
    Ok(Rule {
        topic: (*topic).to_owned(),
        action: match action.to_ascii_uppercase().as_str() {
            "PUBLISH" => Some(Action::Publish),
            "SUBSCRIBE" => Some(Action::Subscribe),
            "REPLAY" => Some(Action::Replay),
            "RECEIVE" => Some(Action::Receive),
            "ALL" => None,
            _ => {
                return Err(format!(
                    "`{action}` is not PUBLISH, SUBSCRIBE, REPLAY, RECEIVE or ALL"
                ));
            }
        },
        conditions: match *condition {
            "" => Vec::new(),
            conditions => conditions
                .split('&')
                .map(|text| parse_condition(text.trim()))
                .collect::<Result<_, _>>()?,
        },
        outcome: parse_outcome(outcome)
            .ok_or_else(|| format!("`{outcome}` is neither ALLOW nor DENY"))?,
    })
}

fn parse_condition(text: &str) -> Result<Condition, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = || value.trim().to_owned();
    match (name.trim(), value().as_str()) {
        ("authenticated", "true") => Ok(Condition::Authenticated(true)),
        ("authenticated", "false") => Ok(Condition::Authenticated(false)),
        ("username", name) if !name.is_empty() => Ok(Condition::Username(value())),
        ("group", name) if !name.is_empty() => Ok(Condition::Group(value())),
        ("client_id", name) if !name.is_empty() => Ok(Condition::ClientId(value())),
        _ => Err(format!(
            "`{text}` is not a condition: empty, authenticated=true, authenticated=false, username=NAME, group=NAME, client_id=NAME, or several with & between them"
        )),
    }
}

pub(super) fn parse_outcome(text: &str) -> Option<Outcome> {
    match text.to_ascii_uppercase().as_str() {
        "ALLOW" => Some(Outcome::Allow),
        "DENY" => Some(Outcome::Deny),
        _ => None,
    }
}
