//! The layouts against the codec's, and both against bytes that are no request.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request};
use proptest::prelude::*;

use super::*;
use crate::api::{Client, Violation, answer};
use crate::config::Config;
use crate::node::Node;

/// The codec's verdict on a body; `rest` is what it leaves.
fn codec_decodes(key: ApiKey, version: i16, rest: &mut Bytes) -> bool {
    macro_rules! decode {
        ($($request:ident)*) => {
            match key as i16 {
                $($request::KEY => $request::decode(rest, version).is_ok(),)*
                other => panic!("api {other} is missing here"),
            }
        };
    }
    decode!(
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
        FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest ApiVersionsRequest CreateTopicsRequest DeleteTopicsRequest
        DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest AddPartitionsToTxnRequest
        AddOffsetsToTxnRequest EndTxnRequest TxnOffsetCommitRequest DescribeConfigsRequest AlterConfigsRequest
        CreatePartitionsRequest DeleteGroupsRequest IncrementalAlterConfigsRequest DescribeClusterRequest
    )
}

/// Writes a request of a layout, taking every choice from `dice`: zeros make one element of each array, the name `a`
/// of each string and 0 of each number.
struct Writer<'a> {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
    dice: &'a mut dyn FnMut() -> u8,
}

impl Writer<'_> {
    fn structure(&mut self, fields: &[Field]) {
        self.fields(fields);
        if self.flexible {
            let tags = (self.dice)() % 8 / 7; // seldom one
            self.out.push(tags);
            if tags == 1 {
                self.out.extend([99, 2, 0, 0]); // a tag nobody knows, of 2 bytes
            }
        }
    }

    fn fields(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields
            .iter()
            .filter(|field| (field.since..=field.until).contains(&version))
        {
            match &field.kind {
                Kind::Fixed(width) => (0..*width).for_each(|_| self.out.push((self.dice)())),
                Kind::String => {
                    let len = (self.dice)().wrapping_add(1) % 5;
                    if self.flexible {
                        self.out.push(len + 1)
                    } else {
                        self.out.extend([0, len])
                    }
                    (0..len).for_each(|_| self.out.push(b'a'));
                }
                Kind::Bytes => {
                    let len = self.length();
                    (0..len).for_each(|_| self.out.push((self.dice)()));
                }
                Kind::Values(element) => (0..self.length()).for_each(|_| self.fields(element)),
                Kind::Structs(element) => (0..self.length()).for_each(|_| self.structure(element)),
            }
        }
    }

    fn length(&mut self) -> u8 {
        let len = (self.dice)().wrapping_add(1) % 4;
        if self.flexible {
            self.out.push(len + 1)
        } else {
            self.out.extend([0, 0, 0, len])
        }
        len
    }
}

fn write(api: &Api, version: i16, bytes: &[u8]) -> Vec<u8> {
    let mut source = bytes.iter().cycle().copied();
    let mut dice = move || source.next().unwrap_or(0);
    let flexible = version >= api.flexible;
    let mut writer = Writer {
        out: Vec::new(),
        version,
        flexible,
        dice: &mut dice,
    };
    writer.structure(&api.fields);
    writer.out
}

fn versions() -> impl Iterator<Item = (&'static Api, i16)> {
    APIS.iter()
        .flat_map(|api| (api.min..=api.max).map(move |version| (api, version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn layouts_are_the_codecs(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        for (api, version) in versions() {
            let body = write(api, version, &bytes);
            prop_assert!(api.fits(version, &body), "{:?} {version}: {body:02x?}", api.key);
            let mut rest = Bytes::from(body.clone());
            prop_assert!(codec_decodes(api.key, version, &mut rest), "{:?} {version}: {body:02x?}", api.key);
            prop_assert_eq!(rest.remaining(), 0, "{:?} {}", api.key, version);
        }
    }

    /// The codec sees only what fits; it neither panics nor asks for more memory than there is.
    #[test]
    fn what_fits_can_be_decoded(
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xff]), 0..6),
    ) {
        for (api, version) in versions() {
            let mut body = write(api, version, &bytes);
            let at = at.index(body.len().max(1));
            for (place, byte) in body.iter_mut().skip(at).zip(&damage) {
                *place = *byte;
            }
            for body in [body, bytes.clone()] {
                if api.fits(version, &body) {
                    codec_decodes(api.key, version, &mut Bytes::from(body));
                }
            }
        }
    }
}

#[test]
fn a_length_beyond_the_frame_is_refused() {
    let metadata = Api::find(ApiKey::Metadata as i16).unwrap();
    assert!(
        !metadata.fits(1, &[0x7f, 0xff, 0xff, 0xff]),
        "two thousand million topics"
    );
    assert!(
        !metadata.fits(9, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        "as many in a varint"
    );
    let strings = [&200_001i32.to_be_bytes()[..], &[0; 400_002]].concat();
    assert!(
        !metadata.fits(1, &strings),
        "200,001 empty names, all there"
    );
}

/// Whatever a request asks for, in every version there is an answer that the codec can write.
#[test]
fn every_version_is_answered() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9092));
    let client = Client {
        host: address.ip(),
        local: address.ip(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Mostly zeros, so that partitions and groups exist and some of the requests succeed.
    let choice = prop::sample::select(vec![0u8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 255]);
    let strategy = prop::collection::vec(choice, 1..60);
    proptest!(ProptestConfig::with_cases(40), |(bytes in strategy)| {
        // A fresh node each time: a request that succeeds may delete what is there.
        let dir = tempfile::tempdir().unwrap();
        let node = Node::open(Config::new(dir.path()), address).unwrap();
        for topic in ["a", "aa"] {
            let topic = node.topics.create(topic, 2, Default::default(), false).unwrap().unwrap();
            let record = (b"key".to_vec(), Some(b"value".to_vec()));
            topic.partition(0).unwrap().append_own(&[record], &topic.config()).unwrap();
        }
        for (api, version) in versions() {
            let mut frame = [(api.key as i16).to_be_bytes(), version.to_be_bytes()].concat();
            frame.extend([0, 0, 0, 7, 0, 1, b'c']);
            if api.key.request_header_version(version) >= 2 {
                frame.push(0);
            }
            frame.extend(write(api, version, &bytes));
            let answered = answer(&node, &client, frame.into());
            // A fetch or a join may wait for others: that is an answer too.
            let brief = std::time::Duration::from_millis(1);
            match runtime.block_on(async { tokio::time::timeout(brief, answered).await }) {
                Ok(Ok(Some(answer))) => prop_assert_eq!(&answer[4..8], &[0, 0, 0, 7], "{:?}", api.key),
                Ok(Err(Violation::Unacknowledged(_)) | Ok(None)) | Err(_) => {}
                Ok(Err(violation)) => prop_assert!(false, "{violation}"),
            }
        }
    });
}
