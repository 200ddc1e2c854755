use super::*;
use proptest::prelude::*;

fn who(username: Option<&str>) -> Identity {
    Identity {
        username: username.map(Into::into),
        client_id: "c1".into(),
        groups: vec![],
        organization: None,
        expires: None,
    }
}

fn member(username: &str, groups: &[&str], organization: &str) -> Identity {
    Identity {
        groups: groups.iter().map(ToString::to_string).collect(),
        organization: Some(organization.into()),
        ..who(Some(username))
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
            "`READ` is not PUBLISH, SUBSCRIBE, REPLAY, RECEIVE or ALL",
        ),
        ("#, ALL, , MAYBE", "`MAYBE` is neither ALLOW nor DENY"),
        ("#, ALL, colour=x, ALLOW", "`colour=x` is not a condition"),
        ("#, ALL, group=, ALLOW", "`group=` is not a condition"),
        ("#, ALL, group=x&, ALLOW", "`` is not a condition"),
        (
            "#, ALL, authenticated, ALLOW",
            "`authenticated` is not a condition",
        ),
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

#[test]
fn conditions_are_of_user_group_and_client_and_all_must_hold() {
    let acl = acl("a, PUBLISH, group=staff, ALLOW
        b, PUBLISH, client_id=c1, ALLOW
        c, PUBLISH, group=staff & group=desk & username=ann, ALLOW
        d, PUBLISH, authenticated=true&client_id=c2, ALLOW");
    let staff = member("ann", &["staff"], "acme");
    let desk = member("ann", &["desk", "staff"], "acme");
    let bob = member("bob", &["desk", "staff"], "acme");
    assert!(acl.may_publish(&staff, "a"));
    assert!(!acl.may_publish(&who(Some("ann")), "a"));
    assert!(acl.may_publish(&who(None), "b"));
    assert!(!acl.may_publish(&staff, "c"));
    assert!(acl.may_publish(&desk, "c"));
    assert!(!acl.may_publish(&bob, "c"));
    assert!(!acl.may_publish(&staff, "d"));
}

#[test]
fn an_organization_has_topics_of_its_own() {
    let acl = acl("{organization}/{username}/#, ALL, , ALLOW");
    assert!(acl.may_publish(&member("ann", &[], "acme"), "acme/ann/x"));
    assert!(!acl.may_publish(&member("ann", &[], "other"), "acme/ann/x"));
    assert!(!acl.may_publish(&who(Some("ann")), "acme/ann/x"));
    // A name does not become another placeholder or a wildcard.
    assert!(!acl.may_publish(&member("ann", &[], "{username}"), "ann/ann/x"));
    assert!(!acl.may_publish(&member("{organization}", &[], "acme"), "acme/acme/x"));
    assert!(!acl.may_publish(&member("ann", &[], "+"), "acme/ann/x"));
}

#[test]
fn history_needs_a_rule() {
    let acl = Acl::parse(
        Some("a/#, REPLAY, , ALLOW\nb/#, SUBSCRIBE, , ALLOW\nc/#, ALL, , ALLOW"),
        "rules",
        ("ALLOW", "ALLOW"),
    )
    .unwrap();
    let ann = who(Some("ann"));
    assert!(acl.may_replay(&ann, &filter("a/+")));
    assert!(!acl.may_replay(&ann, &filter("b/+")));
    assert!(acl.may_replay(&ann, &filter("c/+")));
    assert!(!acl.may_replay(&ann, &filter("d/+")));
    let acl = Acl::parse(None, "", ("ALLOW", "ALLOW")).unwrap();
    assert!(acl.may_replay(&ann, &filter("a/+")));
    assert!(!acl.may_replay(&who(None), &filter("a/+")));
}

#[test]
fn deliveries_are_narrowed_by_rules_of_their_own() {
    let without = acl("#, ALL, username=eve, DENY");
    assert!(without.may_receive(&who(Some("eve")), "a"));
    let acl = acl("#, ALL, , DENY
        alarms/#, RECEIVE, group=desk, ALLOW
        alarms/#, RECEIVE, , DENY");
    assert!(acl.may_receive(&member("ann", &["desk"], "acme"), "alarms/1"));
    assert!(!acl.may_receive(&who(Some("ann")), "alarms/1"));
    assert!(acl.may_receive(&who(Some("ann")), "other"));
}

#[test]
fn sys_needs_a_rule_that_names_it() {
    let open = Acl::parse(
        Some("#, ALL, username=ann, ALLOW\n$SYS/#, SUBSCRIBE, username=root, ALLOW\n{client_id}/#, ALL, , ALLOW\n{username}/#, ALL, , ALLOW"),
        "rules",
        ("ALLOW", "ALLOW"),
    )
    .unwrap();
    let hidden = Identity {
        client_id: "$SYS".into(),
        ..who(Some("$SYS"))
    };
    for asked in ["$SYS/#", "$SYS/broker/+", "$SYS", "$share/g/$SYS/#"] {
        assert!(
            open.may_subscribe(&who(Some("root")), &filter(asked)),
            "{asked}"
        );
        for other in [who(Some("ann")), who(None), hidden.clone()] {
            assert!(!open.may_subscribe(&other, &filter(asked)), "{asked}");
            assert!(!open.may_replay(&other, &filter(asked)), "{asked}");
        }
    }
    assert!(!open.may_publish(&who(Some("ann")), "$SYS/x"));
    let without = Acl::parse(None, "", ("ALLOW", "ALLOW")).unwrap();
    assert!(!without.may_subscribe(&who(Some("ann")), &filter("$SYS/#")));
}

proptest! {
    /// Either every line is a rule, or one that is none is named.
    #[test]
    fn what_is_written_is_rules_or_names_the_line_that_is_not(
        lines in prop::collection::vec(
            "(a/#|\\+|#a|\\{username\\}/x|\\{b\\}|), ?(ALL|publish|x|), ?(group=|username=a|authenticated=true&|), ?(ALLOW|DENY|)(,|)",
            1..6,
        ),
    ) {
        let text = lines.join("\n");
        match Acl::parse(Some(&text), "rules", ("DENY", "DENY")) {
            Ok(acl) => prop_assert_eq!(acl.rules.len(), lines.len()),
            Err(error) => prop_assert!(error.to_string().starts_with("rules line "), "{}", error),
        }
    }
}
