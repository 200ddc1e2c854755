//! Which requests are answered, in which versions, and how their bytes are laid out.
//!
//! The codec trusts the lengths it reads: an array that claims two thousand million elements makes it ask for their
//! memory. So every request is walked here first, without allocating, and refused unless each length stays inside the
//! frame and the number of elements is bounded. The layouts are those of
//! <https://kafka.apache.org/protocol#protocol_messages>; the tests hold them against the codec's.

use std::sync::LazyLock;

use kafka_protocol::messages::ApiKey;

/// Array elements in one request; each costs the codec a few hundred bytes at most. A guess, generous: a fetch of
/// every partition of a thousand topics has some ten thousand.
const ELEMENTS_MAX: usize = 100_000;
/// Tagged fields in one request: current clients send none or one.
const TAGS_MAX: usize = 64;

/// One request type.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// From this version on lengths are varints and structures end in tagged fields.
    flexible: i16,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    since: i16,
    until: i16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fixed(usize),
    String,
    Bytes,
    /// An array of plain values.
    Values(Vec<Field>),
    /// An array of structures.
    Structs(Vec<Field>),
}

/// Key, versions, first flexible version, layout: a number is a field of so many bytes, `s` a string, `b` bytes,
/// `[x]` an array of values, `{x y}` one of structures; `3+:x` is there since version 3, `0-2:x` up to 2.
const LAYOUTS: &[(ApiKey, i16, i16, i16, &str)] = &[
    (ApiKey::Produce, 3, 11, 9, "s 2 4 { s { 4 b } }"),
    (
        ApiKey::Fetch,
        4,
        12,
        12,
        "4 4 4 4 1 7+:4 7+:4 { s { 4 9+:4 8 12+:4 5+:8 4 } } 7+:{ s [ 4 ] } 11+:s",
    ),
    (ApiKey::ListOffsets, 1, 7, 6, "4 2+:1 { s { 4 4+:4 8 } }"),
    (ApiKey::Metadata, 0, 12, 9, "{ 10+:16 s } 4+:1 8-10:1 8+:1"),
    (
        ApiKey::OffsetCommit,
        2,
        8,
        8,
        "s 4 s 7+:s 2-4:8 { s { 4 8 6+:4 s } }",
    ),
    (
        ApiKey::OffsetFetch,
        1,
        8,
        6,
        "1-7:s 1-7:{ s [ 4 ] } 8+:{ s { s [ 4 ] } } 7+:1",
    ),
    (ApiKey::FindCoordinator, 0, 4, 3, "0-3:s 1+:1 4+:[ s ]"),
    (ApiKey::JoinGroup, 0, 9, 6, "s 4 1+:4 s 5+:s s { s b } 8+:s"),
    (ApiKey::Heartbeat, 0, 4, 4, "s 4 s 3+:s"),
    (ApiKey::LeaveGroup, 0, 5, 4, "s 0-2:s 3+:{ s s 5+:s }"),
    (ApiKey::SyncGroup, 0, 5, 4, "s 4 s 3+:s 5+:s 5+:s { s b }"),
    (ApiKey::DescribeGroups, 0, 5, 5, "[ s ] 3+:1"),
    (ApiKey::ListGroups, 0, 5, 3, "4+:[ s ] 5+:[ s ]"),
    (ApiKey::ApiVersions, 0, 4, 3, "3+:s 3+:s"),
    (
        ApiKey::CreateTopics,
        2,
        7,
        5,
        "{ s 4 2 { 4 [ 4 ] } { s s } } 4 1",
    ),
    (ApiKey::DeleteTopics, 1, 6, 4, "6+:{ s 16 } 0-5:[ s ] 4"),
    (ApiKey::DeleteRecords, 0, 2, 2, "{ s { 4 8 } } 4"),
    (ApiKey::InitProducerId, 0, 4, 2, "s 4 3+:8 3+:2"),
    (
        ApiKey::OffsetForLeaderEpoch,
        2,
        4,
        4,
        "3+:4 { s { 4 4 4 } }",
    ),
    (ApiKey::AddPartitionsToTxn, 0, 3, 3, "s 8 2 { s [ 4 ] }"),
    (ApiKey::AddOffsetsToTxn, 0, 3, 3, "s 8 2 s"),
    (ApiKey::EndTxn, 0, 3, 3, "s 8 2 1"),
    (
        ApiKey::TxnOffsetCommit,
        0,
        3,
        3,
        "s s 8 2 3+:4 3+:s 3+:s { s { 4 8 2+:4 s } }",
    ),
    (ApiKey::DescribeConfigs, 1, 4, 4, "{ 1 s [ s ] } 1 3+:1"),
    (ApiKey::AlterConfigs, 0, 2, 2, "{ 1 s { s s } } 1"),
    (ApiKey::CreatePartitions, 0, 3, 2, "{ s 4 { [ 4 ] } } 4 1"),
    (ApiKey::DeleteGroups, 0, 2, 2, "[ s ]"),
    (
        ApiKey::IncrementalAlterConfigs,
        0,
        1,
        1,
        "{ 1 s { s 1 s } } 1",
    ),
    (ApiKey::DescribeCluster, 0, 1, 0, "1 1+:1"),
];

/// Every request that is answered.
pub(crate) static APIS: LazyLock<Vec<Api>> = LazyLock::new(|| {
    let parse = |&(key, min, max, flexible, layout): &(ApiKey, i16, i16, i16, &str)| {
        let fields = parse_fields(&mut layout.split_whitespace());
        Api {
            key,
            min,
            max,
            flexible,
            fields,
        }
    };
    LAYOUTS.iter().map(parse).collect()
});

fn parse_fields<'a>(words: &mut impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(word) = words.next().filter(|word| !["]", "}"].contains(word)) {
        let (versions, kind) = word.split_once(':').unwrap_or(("0+", word));
        let (since, until) = versions
            .split_once(['+', '-'])
            .expect("a version is 3+ or 0-2");
        let kind = match kind {
            "s" => Kind::String,
            "b" => Kind::Bytes,
            "[" => Kind::Values(parse_fields(words)),
            "{" => Kind::Structs(parse_fields(words)),
            width => Kind::Fixed(width.parse().expect("a plain field is its width")),
        };
        let since = since.parse().expect("a version is a number");
        fields.push(Field {
            since,
            until: until.parse().unwrap_or(i16::MAX),
            kind,
        });
    }
    fields
}

impl Api {
    /// The API of a key, if it is answered.
    pub(crate) fn find(key: i16) -> Option<&'static Api> {
        APIS.iter().find(|api| api.key as i16 == key)
    }

    pub(crate) fn supports(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether the body (what follows the header) is a request of this version. As in Kafka more may follow it:
    /// librdkafka 2.12 asks for the metadata of all topics with three bytes too many.
    pub(crate) fn fits(&self, version: i16, body: &[u8]) -> bool {
        let mut walk = Walk {
            rest: body,
            version,
            flexible: version >= self.flexible,
            elements: 0,
            tags: 0,
        };
        walk.structure(&self.fields).is_some()
    }
}

/// Whether the bytes start with a request header: key, version, correlation id, client id and, where flexible, tags.
pub(crate) fn header_fits(bytes: &[u8], flexible: bool) -> bool {
    let mut walk = Walk {
        rest: bytes,
        version: 0,
        flexible: false,
        elements: 0,
        tags: 0,
    };
    walk.skip(8)
        .and_then(|()| walk.string())
        .and_then(|()| if flexible { walk.tags() } else { Some(()) })
        .is_some()
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
    tags: usize,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &[Field]) -> Option<()> {
        self.fields(fields)?;
        if self.flexible { self.tags() } else { Some(()) }
    }

    fn fields(&mut self, fields: &[Field]) -> Option<()> {
        let version = self.version;
        for field in fields
            .iter()
            .filter(|field| (field.since..=field.until).contains(&version))
        {
            match &field.kind {
                Kind::Fixed(width) => self.skip(*width)?,
                Kind::String => self.string()?,
                Kind::Bytes => {
                    let length = self.length()?;
                    self.skip(length)?;
                }
                Kind::Values(element) => self.array(|walk| walk.fields(element))?,
                Kind::Structs(element) => self.array(|walk| walk.structure(element))?,
            }
        }
        Some(())
    }

    /// Ends at the latest when the bytes do: every element has at least one.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let length = self.length()?;
        self.elements = self
            .elements
            .checked_add(length)
            .filter(|&all| all <= ELEMENTS_MAX)?;
        if length > self.rest.len() {
            return None;
        }
        (0..length).try_for_each(|_| element(self))
    }

    fn string(&mut self) -> Option<()> {
        let length = if self.flexible {
            self.length()?
        } else {
            self.short_length()?
        };
        self.skip(length)
    }

    fn tags(&mut self) -> Option<()> {
        let count = self.varint()? as usize;
        self.tags = self
            .tags
            .checked_add(count)
            .filter(|&all| all <= TAGS_MAX)?;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()? as usize;
            self.skip(length)?;
        }
        Some(())
    }

    /// Of bytes and arrays; null counts as empty.
    fn length(&mut self) -> Option<usize> {
        if self.flexible {
            return Some((self.varint()? as usize).saturating_sub(1));
        }
        let (length, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        non_negative(i64::from(i32::from_be_bytes(*length)))
    }

    fn short_length(&mut self) -> Option<usize> {
        let (length, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        non_negative(i64::from(i16::from_be_bytes(*length)))
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }
}

/// -1 stands for null.
fn non_negative(length: i64) -> Option<usize> {
    if length == -1 {
        Some(0)
    } else {
        usize::try_from(length).ok()
    }
}

#[cfg(test)]
mod tests;
