//! What a client may do: access rules, in Waterstream's CSV form.
//!
//! ```text
//! Topic,                      Action,    Condition,                     Outcome
//! fleet/#,                    SUBSCRIBE, username=web,                  ALLOW
//! devices/{username}/up/#,    PUBLISH,   authenticated=true,            ALLOW
//! sites/{organization}/#,     ALL,       group=operators,               ALLOW
//! sites/+/alarms/#,           RECEIVE,   authenticated=true&group=desk, ALLOW
//! sites/+/alarms/#,           RECEIVE,   ,                              DENY
//! #,                          ALL,       ,                              DENY
//! ```
//!
//! The first rule that fits decides. An ALLOW fits a subscription when it covers the whole filter; a DENY fits when the
//! filter could reach any topic of the rule, so a wide filter does not slip past a narrow ban. A condition is empty or
//! holds several, with `&` between them, of which each must hold.
//!
//! - PUBLISH, SUBSCRIBE: without a rule that fits, a setting decides.
//! - REPLAY, a subscription that reads history: without a rule, no.
//! - RECEIVE, the delivery of one message: without a rule, yes, since the subscription was allowed. ALL does not speak of
//!   it: it narrows what a wide subscription lets through.
//! - `$SYS` needs a rule whose topic begins with `$SYS`, whatever the settings say.

mod csv;

use std::borrow::Cow;

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
    /// Subscribe to a filter with its history.
    Replay,
    /// Get one message.
    Receive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allow,
    Deny,
}

#[derive(Debug)]
enum Condition {
    Authenticated(bool),
    Username(String),
    Group(String),
    /// The client chose it: good to tell apart clients that one trusts anyway.
    ClientId(String),
}

/// What a rule's topic may hold for a name of the client.
const PLACEHOLDERS: [&str; 3] = ["{username}", "{client_id}", "{organization}"];

#[derive(Debug)]
struct Rule {
    /// May hold placeholders.
    topic: String,
    /// `None`: all but [`Action::Receive`].
    action: Option<Action>,
    /// All must hold.
    conditions: Vec<Condition>,
    outcome: Outcome,
}

/// The access rules.
#[derive(Debug)]
pub(crate) struct Acl {
    rules: Vec<Rule>,
    /// Whether any speaks of [`Action::Receive`].
    speaks_of_receive: bool,
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
            Some(text) => csv::parse(text, place)?,
            None => vec![Rule {
                topic: "#".into(),
                action: None,
                conditions: vec![Condition::Authenticated(true)],
                outcome: Outcome::Allow,
            }],
        };
        let outcome = |text: &str, name: &str| {
            csv::parse_outcome(text)
                .ok_or_else(|| BadSetting(format!("{name}: `{text}` is neither ALLOW nor DENY")))
        };
        Ok(Self {
            speaks_of_receive: rules
                .iter()
                .any(|rule| rule.action == Some(Action::Receive)),
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

    /// Whether `who`, who may subscribe to a filter, may read its history, too.
    pub(crate) fn may_replay(&self, who: &Identity, filter: &TopicFilter) -> bool {
        self.decide(who, Action::Replay, filter.as_str())
    }

    /// Whether a message may be delivered to `who`, who may subscribe to a filter that matches it.
    pub(crate) fn may_receive(&self, who: &Identity, mqtt_topic: &str) -> bool {
        !self.speaks_of_receive || self.decide(who, Action::Receive, mqtt_topic)
    }

    fn decide(&self, who: &Identity, action: Action, asked: &str) -> bool {
        let fits = |rule: &&Rule| {
            rule.speaks_of(action)
                && rule.conditions.iter().all(|condition| condition.holds(who))
                && rule.topic_for(who).is_some_and(|topic| match rule.outcome {
                    Outcome::Allow => covers(&topic, asked),
                    Outcome::Deny => overlaps(&topic, asked),
                })
        };
        let outcome = self
            .rules
            .iter()
            .find(fits)
            .map_or_else(|| self.default(action, asked), |rule| rule.outcome);
        outcome == Outcome::Allow
    }

    /// When no rule fits.
    fn default(&self, action: Action, asked: &str) -> Outcome {
        let is_sys = asked.split('/').next() == Some("$SYS");
        match action {
            Action::Receive => Outcome::Allow,
            Action::Publish if !is_sys => self.publish_default,
            Action::Subscribe if !is_sys => self.subscribe_default,
            Action::Publish | Action::Subscribe | Action::Replay => Outcome::Deny,
        }
    }
}

impl Rule {
    fn speaks_of(&self, action: Action) -> bool {
        match self.action {
            None => action != Action::Receive,
            Some(of_rule) => of_rule == action,
        }
    }

    /// The rule's filter for this client; `None` when it needs a name that the client has not, or that is not fit to be
    /// one level of a topic (it could otherwise widen the rule).
    fn topic_for(&self, who: &Identity) -> Option<Cow<'_, str>> {
        if !self.topic.contains('{') {
            return Some(self.topic.as_str().into());
        }
        let mut topic = self.topic.clone();
        for placeholder in PLACEHOLDERS {
            if !topic.contains(placeholder) {
                continue;
            }
            let value = match placeholder {
                "{username}" => who.username.as_deref(),
                "{client_id}" => Some(who.client_id.as_str()),
                _ => who.organization.as_deref(),
            }?;
            if value.is_empty() || value.contains(['/', '+', '#', '{']) {
                return None;
            }
            topic = topic.replace(placeholder, value);
        }
        // As a wildcard in front does not match `$…`, neither does a name.
        let became_hidden = topic.starts_with('$') && !self.topic.starts_with('$');
        (!became_hidden).then_some(topic.into())
    }
}

impl Condition {
    fn holds(&self, who: &Identity) -> bool {
        match self {
            Self::Authenticated(wanted) => who.is_authenticated() == *wanted,
            Self::Username(name) => who.username.as_ref() == Some(name),
            Self::Group(name) => who.groups.contains(name),
            Self::ClientId(name) => who.client_id == *name,
        }
    }
}

#[cfg(test)]
mod tests;
