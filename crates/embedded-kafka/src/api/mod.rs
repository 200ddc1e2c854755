//! Requests in, answers out: one file for each group of requests.

mod cluster;
mod configs;
mod fetch;
mod group_offsets;
mod groups;
mod offsets;
mod produce;
pub(crate) mod shape;
mod topics;
mod transactions;

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};

use crate::node::Node;
use shape::Api;

/// What a connection knows of its client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) host: IpAddr,
    /// The address of ours that it came in on.
    pub(crate) local: IpAddr,
}

/// A frame that is no request we answer: the connection is closed, as Kafka does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error("frame of {0} bytes is too short for a request header")]
    TooShort(usize),
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    #[error("unsupported version {version} of {api:?}")]
    UnsupportedVersion { api: ApiKey, version: i16 },
    #[error("malformed {api:?} request, version {version}")]
    Malformed { api: ApiKey, version: i16 },
    #[error("cannot encode the answer to {api:?}, version {version}: {error}")]
    Encoding {
        api: ApiKey,
        version: i16,
        error: String,
    },
    /// Nobody waits for the answer of a produce request without acknowledgement, so this is how it learns.
    #[error("unacknowledged produce request failed: {0}")]
    Unacknowledged(ResponseError),
}

/// One request, decoded, on its way to its answer.
struct Call<'a> {
    node: &'a Node,
    client: &'a Client,
    client_id: &'a str,
    version: i16,
}

/// Works on one frame (without its length); the answer comes with its length. `None`: the client wants no answer.
pub(crate) async fn answer(
    node: &Node,
    client: &Client,
    frame: Bytes,
) -> Result<Option<BytesMut>, Violation> {
    let (Some(&[k0, k1]), Some(&[v0, v1])) = (
        frame.first_chunk(),
        frame.get(2..).and_then(|rest| rest.first_chunk()),
    ) else {
        return Err(Violation::TooShort(frame.len()));
    };
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let api = Api::find(key).ok_or(Violation::UnknownApi(key))?;
    let malformed = || Violation::Malformed {
        api: api.key,
        version,
    };
    if !api.supports(version) {
        if api.key == ApiKey::ApiVersions && shape::header_fits(&frame, false) {
            // In the oldest form, so that a client newer than us understands it and asks again.
            let correlation_id = frame
                .get(4..8)
                .and_then(|id| id.first_chunk())
                .map_or(0, |id| i32::from_be_bytes(*id));
            let response = cluster::api_versions(ResponseError::UnsupportedVersion.code());
            return encode(ApiKey::ApiVersions, 0, correlation_id, &response).map(Some);
        }
        return Err(Violation::UnsupportedVersion {
            api: api.key,
            version,
        });
    }
    let header_version = api.key.request_header_version(version);
    if !shape::header_fits(&frame, header_version >= 2) {
        return Err(malformed());
    }
    let mut body = frame;
    let header = RequestHeader::decode(&mut body, header_version).map_err(|_| malformed())?;
    if !api.fits(version, &body) {
        return Err(malformed());
    }
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let call = Call {
        node,
        client,
        client_id,
        version,
    };
    let id = header.correlation_id;
    match api.key {
        ApiKey::Produce => {
            let request = decode::<ProduceRequest>(&mut body, version)?;
            let wants_answer = request.acks != 0;
            let response = produce::produce(&call, request);
            if wants_answer {
                return encode(api.key, version, id, &response).map(Some);
            }
            match produce::first_error(&response) {
                Some(error) => Err(Violation::Unacknowledged(error)),
                None => Ok(None),
            }
        }
        ApiKey::Fetch => encode(
            api.key,
            version,
            id,
            &fetch::fetch(&call, decode(&mut body, version)?).await,
        )
        .map(Some),
        ApiKey::JoinGroup => encode(
            api.key,
            version,
            id,
            &groups::join(&call, decode(&mut body, version)?).await,
        )
        .map(Some),
        ApiKey::SyncGroup => encode(
            api.key,
            version,
            id,
            &groups::sync(&call, decode(&mut body, version)?).await,
        )
        .map(Some),
        ApiKey::ListOffsets => call.reply(body, id, offsets::list_offsets),
        ApiKey::OffsetForLeaderEpoch => call.reply(body, id, offsets::offset_for_leader_epoch),
        ApiKey::Metadata => call.reply(body, id, cluster::metadata),
        ApiKey::FindCoordinator => call.reply(body, id, cluster::find_coordinator),
        ApiKey::DescribeCluster => call.reply(body, id, cluster::describe_cluster),
        ApiKey::ApiVersions => call.reply(body, id, |_, _: ApiVersionsRequest| {
            cluster::api_versions(0)
        }),
        ApiKey::OffsetCommit => call.reply(body, id, group_offsets::offset_commit),
        ApiKey::OffsetFetch => call.reply(body, id, group_offsets::offset_fetch),
        ApiKey::Heartbeat => call.reply(body, id, groups::heartbeat),
        ApiKey::LeaveGroup => call.reply(body, id, groups::leave),
        ApiKey::DescribeGroups => call.reply(body, id, groups::describe),
        ApiKey::ListGroups => call.reply(body, id, groups::list),
        ApiKey::DeleteGroups => call.reply(body, id, groups::delete),
        ApiKey::CreateTopics => call.reply(body, id, topics::create_topics),
        ApiKey::DeleteTopics => call.reply(body, id, topics::delete_topics),
        ApiKey::CreatePartitions => call.reply(body, id, topics::create_partitions),
        ApiKey::DeleteRecords => call.reply(body, id, topics::delete_records),
        ApiKey::DescribeConfigs => call.reply(body, id, configs::describe_configs),
        ApiKey::AlterConfigs => call.reply(body, id, configs::alter_configs),
        ApiKey::IncrementalAlterConfigs => call.reply(body, id, configs::incremental_alter_configs),
        ApiKey::InitProducerId => call.reply(body, id, transactions::init_producer_id),
        ApiKey::AddPartitionsToTxn => call.reply(body, id, transactions::add_partitions_to_txn),
        ApiKey::AddOffsetsToTxn => call.reply(body, id, transactions::add_offsets_to_txn),
        ApiKey::EndTxn => call.reply(body, id, transactions::end_txn),
        ApiKey::TxnOffsetCommit => call.reply(body, id, group_offsets::txn_offset_commit),
        other => Err(Violation::UnknownApi(other as i16)),
    }
}

impl Call<'_> {
    fn reply<R: Request>(
        &self,
        mut body: Bytes,
        correlation_id: i32,
        handle: impl FnOnce(&Self, R) -> R::Response,
    ) -> Result<Option<BytesMut>, Violation> {
        let request = decode::<R>(&mut body, self.version)?;
        let key = ApiKey::try_from(R::KEY).map_err(|()| Violation::UnknownApi(R::KEY))?;
        encode(key, self.version, correlation_id, &handle(self, request)).map(Some)
    }

    /// The host name that this client reaches us by.
    fn host(&self) -> StrBytes {
        match &self.node.config.advertised_host {
            Some(host) => StrBytes::from_string(host.clone()),
            None => StrBytes::from_string(self.client.local.to_string()),
        }
    }

    fn port(&self) -> i32 {
        i32::from(self.node.local_addr.port())
    }
}

fn decode<R: Request>(body: &mut Bytes, version: i16) -> Result<R, Violation> {
    R::decode(body, version).map_err(|_| match ApiKey::try_from(R::KEY) {
        Ok(api) => Violation::Malformed { api, version },
        Err(()) => Violation::UnknownApi(R::KEY),
    })
}

fn encode(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &impl Encodable,
) -> Result<BytesMut, Violation> {
    let failed = |error: String| Violation::Encoding {
        api,
        version,
        error,
    };
    let size = response
        .compute_size(version)
        .map_err(|error| failed(error.to_string()))?;
    let mut out = BytesMut::with_capacity(size + 16);
    out.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(correlation_id)
        .encode(&mut out, api.response_header_version(version))
        .and_then(|()| response.encode(&mut out, version))
        .map_err(|error| failed(error.to_string()))?;
    let length = i32::try_from(out.len() - 4).map_err(|_| failed("longer than 2 GiB".into()))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// The error code of a result: 0 for none.
fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn string(value: &Option<StrBytes>) -> Option<String> {
    value.as_ref().map(|value| value.to_string())
}
