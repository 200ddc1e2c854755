//! Topic names and filters: parsing never panics, and both trees find what matching one by one finds.

use mqtt::filters::{FilterTree, NameTree};
use mqtt::{TopicFilter, TopicName};

/// More would only make a round slow: the work is their square.
const LINES_MAX: usize = 16;

/// Each line is tried as a name and as a filter.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = || text.split('\n').take(LINES_MAX);
    let names: Vec<TopicName> = lines()
        .filter_map(|line| TopicName::try_from(line).ok())
        .collect();
    let filters: Vec<TopicFilter> = lines()
        .filter_map(|line| TopicFilter::new(line).ok())
        .collect();
    names.iter().for_each(is_its_own_filter);
    filters.iter().for_each(is_whole);
    let mut tree = FilterTree::default();
    for (key, filter) in filters.iter().enumerate() {
        tree.insert(filter, key, ());
    }
    agrees(&tree, &names, |key| filters.get(key));
    // Every other one goes; the rest must not notice.
    for (key, filter) in filters.iter().enumerate().step_by(2) {
        assert_eq!(tree.remove(filter, &key), Some(()));
    }
    agrees(&tree, &names, |key| {
        filters.get(key).filter(|_| key % 2 == 1)
    });
    names_agree(&names, &filters);
}

fn is_its_own_filter(name: &TopicName) {
    match TopicFilter::new(name.as_str()) {
        Ok(filter) if filter.share_group().is_none() => assert!(filter.matches(name.as_str())),
        // Only what looks like a shared subscription is not.
        _ => assert!(name.as_str().starts_with("$share/"), "{name}"),
    }
}

fn is_whole(filter: &TopicFilter) {
    let whole = match filter.share_group() {
        Some(group) => format!("$share/{group}/{}", filter.as_str()),
        None => filter.as_str().to_owned(),
    };
    assert_eq!(filter.as_written(), whole);
}

fn agrees<'a>(
    tree: &FilterTree<usize, ()>,
    names: &[TopicName],
    filter_of: impl Fn(usize) -> Option<&'a TopicFilter>,
) {
    for name in names {
        let mut found = Vec::new();
        tree.for_each_match(name.as_str(), |key, ()| found.push(*key));
        found.sort_unstable();
        let expected: Vec<usize> = (0..LINES_MAX)
            .filter(|key| filter_of(*key).is_some_and(|filter| filter.matches(name.as_str())))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn names_agree(names: &[TopicName], filters: &[TopicFilter]) {
    let mut distinct: Vec<&str> = names.iter().map(TopicName::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let mut tree = NameTree::default();
    for name in names {
        tree.set(name.as_str(), Some(name.as_str()));
    }
    assert_eq!(tree.len(), distinct.len());
    for filter in filters {
        let mut found = Vec::new();
        tree.for_each_match(filter, |name| found.push(*name));
        found.sort_unstable();
        let expected: Vec<&str> = distinct
            .iter()
            .copied()
            .filter(|name| filter.matches(name))
            .collect();
        assert_eq!(found, expected, "{filter}");
    }
    for name in &distinct {
        tree.set(name, None);
    }
    assert!(tree.is_empty());
}
