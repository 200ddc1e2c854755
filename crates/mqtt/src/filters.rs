//! Matching at scale: which of many filters match a topic name ([`FilterTree`]), and which of many names match a
//! filter ([`NameTree`]). Both walk levels, so their cost follows the depth and the matches, not the number stored.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::topic::{TopicFilter, levels};

/// Filters, each with values by key; the key is who subscribed.
#[derive(Debug)]
pub struct FilterTree<K, V> {
    root: FilterNode<K, V>,
    len: usize,
}

#[derive(Debug)]
struct FilterNode<K, V> {
    /// Filters that end here.
    here: BTreeMap<K, V>,
    /// Filters that go on with `#`: they match this level and all below.
    rest: BTreeMap<K, V>,
    plus: Option<Box<FilterNode<K, V>>>,
    /// Seeded at random, so that nobody can choose levels that collide.
    children: HashMap<Box<str>, FilterNode<K, V>, RandomState>,
}

impl<K, V> Default for FilterNode<K, V> {
    fn default() -> Self {
        Self {
            here: BTreeMap::new(),
            rest: BTreeMap::new(),
            plus: None,
            children: HashMap::default(),
        }
    }
}

impl<K, V> FilterNode<K, V> {
    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.rest.is_empty()
            && self.plus.is_none()
            && self.children.is_empty()
    }
}

impl<K, V> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self {
            root: FilterNode::default(),
            len: 0,
        }
    }
}

impl<K: Ord, V> FilterTree<K, V> {
    /// How many (filter, key) pairs there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds or replaces; returns what was replaced.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        let mut node = &mut self.root;
        let mut is_rest = false;
        for level in levels(filter.as_str()) {
            match level {
                "#" => is_rest = true,
                "+" => node = node.plus.get_or_insert_default(),
                name => {
                    if !node.children.contains_key(name) {
                        node.children.insert(name.into(), FilterNode::default());
                    }
                    node = node.children.get_mut(name).expect("just inserted");
                }
            }
        }
        let values = if is_rest {
            &mut node.rest
        } else {
            &mut node.here
        };
        let replaced = values.insert(key, value);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// The value of a filter and key.
    pub fn get(&self, filter: &TopicFilter, key: &K) -> Option<&V> {
        let mut node = &self.root;
        for level in levels(filter.as_str()) {
            match level {
                "#" => return node.rest.get(key),
                "+" => node = node.plus.as_deref()?,
                name => node = node.children.get(name)?,
            }
        }
        node.here.get(key)
    }

    /// Removes; returns what was there.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        let levels: Vec<&str> = levels(filter.as_str()).collect();
        let removed = remove(&mut self.root, &levels, key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `found` for each filter that matches `name`, as [`TopicFilter::matches`] says.
    pub fn for_each_match<'a>(&'a self, name: &str, mut found: impl FnMut(&'a K, &'a V)) {
        let levels: Vec<&str> = levels(name).collect();
        visit(&self.root, &levels, name.starts_with('$'), &mut found);
    }
}

fn remove<K: Ord, V>(node: &mut FilterNode<K, V>, levels: &[&str], key: &K) -> Option<V> {
    match levels {
        [] => node.here.remove(key),
        ["#"] => node.rest.remove(key),
        ["+", deeper @ ..] => {
            let plus = node.plus.as_mut()?;
            let removed = remove(plus, deeper, key);
            if plus.is_empty() {
                node.plus = None;
            }
            removed
        }
        [name, deeper @ ..] => {
            let child = node.children.get_mut(*name)?;
            let removed = remove(child, deeper, key);
            if child.is_empty() {
                node.children.remove(*name);
            }
            removed
        }
    }
}

/// `is_system`: the name starts with `$` and this is its first level, which wildcards do not match [MQTT-4.7.2-1].
fn visit<'a, K, V>(
    node: &'a FilterNode<K, V>,
    levels: &[&str],
    is_system: bool,
    found: &mut impl FnMut(&'a K, &'a V),
) {
    if !is_system {
        for (key, value) in &node.rest {
            found(key, value);
        }
    }
    let Some((first, deeper)) = levels.split_first() else {
        for (key, value) in &node.here {
            found(key, value);
        }
        return;
    };
    if let Some(child) = node.children.get(*first) {
        visit(child, deeper, false, found);
    }
    if let Some(plus) = node.plus.as_ref().filter(|_| !is_system) {
        visit(plus, deeper, false, found);
    }
}

/// Topic names, each with one value: the retained messages.
#[derive(Debug)]
pub struct NameTree<V> {
    root: NameNode<V>,
    len: usize,
}

#[derive(Debug)]
struct NameNode<V> {
    value: Option<V>,
    children: BTreeMap<Box<str>, NameNode<V>>,
}

impl<V> Default for NameNode<V> {
    fn default() -> Self {
        Self {
            value: None,
            children: BTreeMap::new(),
        }
    }
}

impl<V> Default for NameTree<V> {
    fn default() -> Self {
        Self {
            root: NameNode::default(),
            len: 0,
        }
    }
}

impl<V> NameTree<V> {
    /// How many names have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a value, or removes it with `None`.
    pub fn set(&mut self, name: &str, value: Option<V>) {
        let is_new = value.is_some();
        let levels: Vec<&str> = levels(name).collect();
        let was_there = set(&mut self.root, &levels, value);
        self.len = self.len + usize::from(is_new) - usize::from(was_there);
    }

    /// Calls `found` for each value whose name matches `filter`, names in order.
    pub fn for_each_match<'a>(&'a self, filter: &TopicFilter, mut found: impl FnMut(&'a V)) {
        let levels: Vec<&str> = levels(filter.as_str()).collect();
        walk(&self.root, &levels, true, &mut found);
    }
}

/// Returns whether there was a value.
fn set<V>(node: &mut NameNode<V>, levels: &[&str], value: Option<V>) -> bool {
    let Some((first, deeper)) = levels.split_first() else {
        let was_there = node.value.is_some();
        node.value = value;
        return was_there;
    };
    if value.is_some() {
        let child = node.children.entry((*first).into()).or_default();
        return set(child, deeper, value);
    }
    let Some(child) = node.children.get_mut(*first) else {
        return false;
    };
    let was_there = set(child, deeper, None);
    if child.value.is_none() && child.children.is_empty() {
        node.children.remove(*first);
    }
    was_there
}

fn walk<'a, V>(
    node: &'a NameNode<V>,
    filter: &[&str],
    is_first: bool,
    found: &mut impl FnMut(&'a V),
) {
    // [MQTT-4.7.2-1] A wildcard on the first level does not match names that start with `$`.
    let seen = |name: &str| !(is_first && name.starts_with('$'));
    match filter {
        [] => {
            if let Some(value) = &node.value {
                found(value);
            }
        }
        ["#"] => {
            // `a/#` matches `a` itself, too.
            if let Some(value) = &node.value {
                found(value);
            }
            for (_, child) in node.children.iter().filter(|(name, _)| seen(name)) {
                walk(child, filter, false, found);
            }
        }
        ["+", deeper @ ..] => {
            for (_, child) in node.children.iter().filter(|(name, _)| seen(name)) {
                walk(child, deeper, false, found);
            }
        }
        [name, deeper @ ..] => {
            if let Some(child) = node.children.get(*name) {
                walk(child, deeper, false, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec("|a|b|\\$c", 1..4)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |name| !name.is_empty())
    }

    fn filter() -> impl Strategy<Value = TopicFilter> {
        (prop::collection::vec("|a|b|\\$c|\\+", 0..4), any::<bool>()).prop_filter_map(
            "not a filter",
            |(mut levels, rest)| {
                if rest {
                    levels.push("#".into());
                }
                TopicFilter::new(&levels.join("/")).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn both_trees_find_what_matching_one_by_one_finds(
            filters in prop::collection::vec(filter(), 1..20),
            names in prop::collection::vec(name(), 1..20),
            removed in prop::collection::vec(any::<bool>(), 20),
        ) {
            let mut tree = FilterTree::default();
            let mut kept = BTreeMap::new();
            for (key, filter) in filters.iter().enumerate() {
                tree.insert(filter, key, ());
                kept.insert(key, filter);
            }
            for (key, filter) in filters.iter().enumerate() {
                if removed[key] {
                    prop_assert!(tree.remove(filter, &key).is_some());
                    kept.remove(&key);
                }
            }
            prop_assert_eq!(tree.len(), kept.len());
            let mut retained = NameTree::default();
            for name in &names {
                let mut found = Vec::new();
                tree.for_each_match(name, |key, ()| found.push(*key));
                found.sort_unstable();
                let expected: Vec<usize> = kept
                    .iter()
                    .filter(|(_, filter)| filter.matches(name))
                    .map(|(key, _)| *key)
                    .collect();
                prop_assert_eq!(found, expected, "{}", name);
                retained.set(name, Some(name.clone()));
            }
            let mut distinct = names.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(retained.len(), distinct.len());
            for filter in &filters {
                let mut found = Vec::new();
                retained.for_each_match(filter, |name| found.push(name.clone()));
                found.sort_unstable();
                let expected: Vec<String> =
                    distinct.iter().filter(|name| filter.matches(name)).cloned().collect();
                prop_assert_eq!(found, expected, "{}", filter);
            }
            for name in &names {
                retained.set(name, None);
            }
            prop_assert!(retained.is_empty() && retained.root.children.is_empty());
        }
    }
}
