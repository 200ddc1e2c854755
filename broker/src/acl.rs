//! What a client may do: access rules, in Waterstream's CSV form.
//!
//! ```text
//! Topic,                   Action,    Condition,          Outcome
//! fleet/#,                 SUBSCRIBE, username=web,       ALLOW
//! devices/{username}/up/#, PUBLISH,   authenticated=true, ALLOW
//! #,                       ALL,       ,                   DENY
//! ```
//!
//! The first rule that fits decides. An ALLOW fits a subscription when it covers the whole filter; a DENY fits when the
//! filter could reach any topic of the rule, so a wide filter does not slip past a narrow ban.

use mqtt::TopicFilter;
use service::BadSetting;

use crate::auth::Identity;
use crate::rules::{covers, overlaps};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Publish to a topic.
    Publish,
    /// Subscribe to a filter.
    Subscribe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allow,
    Deny,
}

#[derive(Debug)]
enum Condition {
    Anyone,
    Authenticated(bool),
    Username(String),
}

#[derive(Debug)]
struct Rule {
    /// May hold `{username}` and `{client_id}`.
    topic: String,
    /// `None`: all.
    action: Option<Action>,
    condition: Condition,
    outcome: Outcome,
}

/// The access rules.
#[derive(Debug)]
pub(crate) struct Acl {
    rules: Vec<Rule>,
    publish_default: Outcome,
    subscribe_default: Outcome,
}

impl Acl {
    /// Reads rules; without any, who is authenticated may do everything and who is not, nothing.
    /// `defaults` are the outcomes for publish and subscribe when no rule fits: `ALLOW` or `DENY`.
    ///
    /// # Errors
    /// Which line of which place is wrong, and what it should be.
    pub(crate) fn parse(
        text: Option<&str>,
        place: &str,
        defaults: (&str, &str),
    ) -> Result<Self, BadSetting> {
        let rules = match text {
            Some(text) => parse_rules(text, place)?,
            None => vec![Rule {
                topic: "#".into(),
                action: None,
                condition: Condition::Authenticated(true),
                outcome: Outcome::Allow,
            }],
        };
        let outcome = |text: &str, name: &str| {
            parse_outcome(text)
                .ok_or_else(|| BadSetting(format!("{name}: `{text}` is neither ALLOW nor DENY")))
        };
        Ok(Self {
            rules,
            publish_default: outcome(defaults.0, "AUTHORIZATION_PUBLISH_DEFAULT_OUTCOME")?,
            subscribe_default: outcome(defaults.1, "AUTHORIZATION_SUBSCRIBE_DEFAULT_OUTCOME")?,
        })
    }

    /// Whether `who` may publish to a topic.
    pub(crate) fn may_publish(&self, who: &Identity, mqtt_topic: &str) -> bool {
        self.decide(who, Action::Publish, mqtt_topic)
    }

    /// Whether `who` may subscribe to a filter.
    pub(crate) fn may_subscribe(&self, who: &Identity, filter: &TopicFilter) -> bool {
        self.decide(who, Action::Subscribe, filter.as_str())
    }

    /// Whether `who` may read a filter's history.
    pub(crate) fn may_replay(&self, who: &Identity, filter: &TopicFilter) -> bool {
        self.may_subscribe(who, filter)
    }

    fn decide(&self, who: &Identity, action: Action, asked: &str) -> bool {
        let fits = |rule: &&Rule| {
            rule.action.is_none_or(|of_rule| of_rule == action)
                && rule.condition.holds(who)
                && rule.topic_for(who).is_some_and(|topic| match rule.outcome {
                    Outcome::Allow => covers(&topic, asked),
                    Outcome::Deny => overlaps(&topic, asked),
                })
        };
        let default = match action {
            Action::Publish => self.publish_default,
            Action::Subscribe => self.subscribe_default,
        };
        let outcome = self
            .rules
            .iter()
            .find(fits)
            .map_or(default, |rule| rule.outcome);
        outcome == Outcome::Allow
    }
}

impl Rule {
    /// The rule's filter for this client; `None` when it needs a name that the client has not, or that is not fit to be
    /// one level of a topic (it could otherwise widen the rule).
    fn topic_for(&self, who: &Identity) -> Option<std::borrow::Cow<'_, str>> {
        if !self.topic.contains('{') {
            return Some(self.topic.as_str().into());
        }
        let mut topic = self.topic.clone();
        let names = [
            ("{username}", who.username.as_deref()),
            ("{client_id}", Some(who.client_id.as_str())),
        ];
        for (placeholder, value) in names {
            if topic.contains(placeholder) {
                let value = value.filter(|v| !v.is_empty() && !v.contains(['/', '+', '#']))?;
                topic = topic.replace(placeholder, value);
            }
        }
        Some(topic.into())
    }
}

impl Condition {
    fn holds(&self, who: &Identity) -> bool {
        match self {
            Self::Anyone => true,
            Self::Authenticated(wanted) => who.is_authenticated() == *wanted,
            Self::Username(name) => who.username.as_deref() == Some(name),
        }
    }
}

fn parse_rules(text: &str, place: &str) -> Result<Vec<Rule>, BadSetting> {
    let mut rules = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        if at == 0
            && columns
                .first()
                .is_some_and(|c| c.eq_ignore_ascii_case("topic"))
        {
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
    let plain = topic.replace("{username}", "u").replace("{client_id}", "c");
    if TopicFilter::new(&plain).is_err() || plain.contains('{') {
        return Err(format!(
            "`{topic}` is not a topic filter; placeholders are {{username}} and {{client_id}}"
        ));
    }
    Ok(Rule {
        topic: (*topic).to_owned(),
        action: match action.to_ascii_uppercase().as_str() {
            "PUBLISH" => Some(Action::Publish),
            "SUBSCRIBE" => Some(Action::Subscribe),
            "ALL" => None,
            _ => return Err(format!("`{action}` is not PUBLISH, SUBSCRIBE or ALL")),
        },
        condition: parse_condition(condition)?,
        outcome: parse_outcome(outcome)
            .ok_or_else(|| format!("`{outcome}` is neither ALLOW nor DENY"))?,
    })
}

fn parse_condition(text: &str) -> Result<Condition, String> {
    let wrong = || {
        format!(
            "`{text}` is not a condition: empty, authenticated=true, authenticated=false or username=NAME"
        )
    };
    if text.is_empty() {
        return Ok(Condition::Anyone);
    }
    match text.split_once('=').ok_or_else(wrong)? {
        ("authenticated", "true") => Ok(Condition::Authenticated(true)),
        ("authenticated", "false") => Ok(Condition::Authenticated(false)),
        ("username", name) if !name.is_empty() => Ok(Condition::Username(name.to_owned())),
        _ => Err(wrong()),
    }
}

fn parse_outcome(text: &str) -> Option<Outcome> {
    match text.to_ascii_uppercase().as_str() {
        "ALLOW" => Some(Outcome::Allow),
        "DENY" => Some(Outcome::Deny),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(username: Option<&str>) -> Identity {
        Identity {
            username: username.map(Into::into),
            client_id: "c1".into(),
            groups: vec![],
            organization: None,
            expires: None,
        }
    }

    fn acl(text: &str) -> Acl {
        Acl::parse(Some(text), "rules", ("DENY", "DENY")).unwrap()
    }

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let acl = acl("Topic, Action, Condition, Outcome
            fleet/secret/#, ALL, , DENY
            fleet/#, SUBSCRIBE, username=web, ALLOW
            #, ALL, username=sim, ALLOW");
        let (web, sim) = (who(Some("web")), who(Some("sim")));
        assert!(acl.may_subscribe(&web, &filter("fleet/a/+")));
        assert!(!acl.may_subscribe(&web, &filter("fleet/secret/x")));
        assert!(!acl.may_subscribe(&web, &filter("fleet/+/x")));
        assert!(!acl.may_subscribe(&web, &filter("#")));
        assert!(!acl.may_subscribe(&web, &filter("other")));
        assert!(!acl.may_publish(&web, "fleet/a"));
        assert!(acl.may_publish(&sim, "fleet/a"));
        assert!(!acl.may_publish(&sim, "fleet/secret/a"));
        assert!(!acl.may_publish(&who(None), "fleet/a"));
    }

    #[test]
    fn placeholders_are_one_level_of_the_clients_own() {
        let acl = acl("devices/{username}/up, PUBLISH, authenticated=true, ALLOW
            clients/{client_id}/#, ALL, , ALLOW");
        assert!(acl.may_publish(&who(Some("ann")), "devices/ann/up"));
        assert!(!acl.may_publish(&who(Some("ann")), "devices/bob/up"));
        assert!(!acl.may_publish(&who(Some("+")), "devices/bob/up"));
        assert!(!acl.may_publish(&who(None), "devices/ann/up"));
        assert!(acl.may_subscribe(&who(None), &filter("clients/c1/x")));
    }

    #[test]
    fn without_rules_only_who_is_authenticated_may_do_anything() {
        let acl = Acl::parse(None, "", ("DENY", "DENY")).unwrap();
        assert!(acl.may_publish(&who(Some("ann")), "a"));
        assert!(!acl.may_publish(&who(None), "a"));
        assert!(!acl.may_subscribe(&who(None), &filter("a")));
    }

    #[test]
    fn a_wrong_line_says_which_and_why() {
        for (line, reason) in [
            ("#, ALL, ALLOW", "rules line 1: 3 columns instead of 4"),
            (
                "#, READ, , ALLOW",
                "`READ` is not PUBLISH, SUBSCRIBE or ALL",
            ),
            ("#, ALL, , MAYBE", "`MAYBE` is neither ALLOW nor DENY"),
            ("#, ALL, group=x, ALLOW", "`group=x` is not a condition"),
            ("a#, ALL, , ALLOW", "`a#` is not a topic filter"),
            ("{user}/x, ALL, , ALLOW", "placeholders are"),
        ] {
            let error = Acl::parse(Some(line), "rules", ("DENY", "DENY")).unwrap_err();
            assert!(
                error.to_string().contains(reason),
                "`{error}` has no `{reason}`"
            );
        }
    }
}
