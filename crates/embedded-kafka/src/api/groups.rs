//! Membership of consumer groups: `JoinGroup`, `SyncGroup`, `Heartbeat`, `LeaveGroup` and their administration.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::*;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::*;

use super::{Call, code, string, text};
use crate::groups::{Description, Join, MemberDescription};

pub(super) async fn join(call: &Call<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    let milliseconds = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let session_timeout = milliseconds(request.session_timeout_ms);
    let join = Join {
        member_id: request.member_id.to_string(),
        instance_id: string(&request.group_instance_id),
        client_id: call.client_id.to_owned(),
        client_host: format!("/{}", call.client.host),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|p| (p.name.to_string(), p.metadata))
            .collect(),
        session_timeout,
        // Version 0 has one timeout for both.
        rebalance_timeout: if call.version == 0 {
            session_timeout
        } else {
            milliseconds(request.rebalance_timeout_ms)
        },
        id_first: call.version >= 4,
    };
    let refused = |error: ResponseError, member_id: String| {
        let response = JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1);
        let response = response.with_member_id(text(member_id));
        if call.version >= 7 {
            response
        } else {
            response.with_protocol_name(Some(text("")))
        }
    };
    let answer = match call.node.groups.join(&request.group_id, join) {
        Ok(answer) => answer.await.unwrap_or(Err(ResponseError::UnknownMemberId)),
        Err((error, member_id)) => return refused(error, member_id),
    };
    let joined = match answer {
        Ok(joined) => joined,
        Err(error) => return refused(error, request.member_id.to_string()),
    };
    let member = |(id, instance, metadata): (String, Option<String>, _)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.filter(|_| call.version >= 5).map(text))
            .with_metadata(metadata)
    };
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect());
    if call.version >= 7 {
        response.with_protocol_type(Some(text(joined.protocol_type)))
    } else {
        response
    }
}

pub(super) async fn sync(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let assignments = request
        .assignments
        .into_iter()
        .map(|a| (a.member_id.to_string(), a.assignment))
        .collect();
    let groups = &call.node.groups;
    let answer = match groups.sync(
        &request.group_id,
        &request.member_id,
        request.generation_id,
        assignments,
    ) {
        Ok(answer) => answer.await.unwrap_or(Err(ResponseError::UnknownMemberId)),
        Err(error) => Err(error),
    };
    match answer {
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
        Ok(synced) => {
            let response = SyncGroupResponse::default().with_assignment(synced.assignment);
            if call.version < 5 {
                return response;
            }
            response
                .with_protocol_type(Some(text(synced.protocol_type)))
                .with_protocol_name(Some(text(synced.protocol)))
        }
    }
}

pub(super) fn heartbeat(call: &Call<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let result =
        call.node
            .groups
            .heartbeat(&request.group_id, &request.member_id, request.generation_id);
    HeartbeatResponse::default().with_error_code(code(&result))
}

pub(super) fn leave(call: &Call<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let groups = &call.node.groups;
    if call.version < 3 {
        let result = groups.leave(&request.group_id, &request.member_id, None);
        return LeaveGroupResponse::default().with_error_code(code(&result));
    }
    let mut members = Vec::new();
    for member in request.members {
        let result = groups.leave(
            &request.group_id,
            &member.member_id,
            member.group_instance_id.as_deref(),
        );
        members.push(
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code(&result)),
        );
    }
    LeaveGroupResponse::default().with_members(members)
}

pub(super) fn describe(call: &Call<'_>, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let member = |member: MemberDescription| {
        DescribedGroupMember::default()
            .with_member_id(text(member.id))
            .with_group_instance_id(member.instance_id.filter(|_| call.version >= 4).map(text))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    };
    let describe = |id: GroupId| {
        let description = call.node.groups.describe(&id);
        let group = DescribedGroup::default().with_group_id(id);
        let Some(Description {
            state,
            protocol_type,
            protocol,
            members,
        }) = description
        else {
            return group.with_group_state(text("Dead"));
        };
        group
            .with_group_state(text(state.name()))
            .with_protocol_type(text(protocol_type))
            .with_protocol_data(text(protocol))
            .with_members(members.into_iter().map(member).collect())
    };
    DescribeGroupsResponse::default()
        .with_groups(request.groups.into_iter().map(describe).collect())
}

pub(super) fn list(call: &Call<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    const TYPE: &str = "classic";
    let fits = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let mut groups = Vec::new();
    for (id, protocol_type, state) in call.node.groups.list() {
        if !fits(&request.states_filter, state.name()) || !fits(&request.types_filter, TYPE) {
            continue;
        }
        let mut group = ListedGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_protocol_type(text(protocol_type));
        if call.version >= 4 {
            group = group.with_group_state(text(state.name()));
        }
        if call.version >= 5 {
            group = group.with_group_type(text(TYPE));
        }
        groups.push(group);
    }
    ListGroupsResponse::default().with_groups(groups)
}

pub(super) fn delete(call: &Call<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let delete = |id: GroupId| {
        let result = call.node.groups.delete(&id);
        DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(code(&result))
    };
    DeleteGroupsResponse::default()
        .with_results(request.groups_names.into_iter().map(delete).collect())
}
