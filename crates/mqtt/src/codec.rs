//! Frames to packets and back (§2.1).
//!
//! ```text
//! fixed header       type(4) flags(4)
//! remaining length   variable integer, bytes that follow
//! ```

use bytes::{Buf, BufMut, BytesMut};

use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe,
};
use crate::wire::{Reader, put_varint};
use crate::{Packet, Version, Violation};

/// Takes the next packet from the front of `buffer`; `None` when it is not complete yet.
///
/// `size_max` bounds the whole packet in bytes, so that nothing larger is ever waited for.
///
/// # Errors
/// What the peer did wrong; the connection cannot go on.
pub fn decode(
    buffer: &mut BytesMut,
    version: Version,
    size_max: usize,
) -> Result<Option<Packet>, Violation> {
    let Some((header_len, remaining)) = frame(buffer)? else {
        return Ok(None);
    };
    let length = header_len + remaining;
    if length > size_max {
        return Err(Violation::TooLarge);
    }
    if buffer.len() < length {
        // All of it will come: make room once.
        buffer.reserve(length - buffer.len());
        return Ok(None);
    }
    let first = buffer[0];
    let mut whole = buffer.split_to(length);
    whole.advance(header_len);
    read(first, Reader::new(whole.freeze()), version).map(Some)
}

/// Lengths of the fixed header and of what follows it; `None` when the header is not complete.
fn frame(buffer: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let mut remaining = 0;
    for at in 1..=4 {
        let Some(byte) = buffer.get(at) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, remaining)));
        }
    }
    Err(Violation::MalformedVarint)
}

fn read(first: u8, body: Reader, version: Version) -> Result<Packet, Violation> {
    use crate::packet::{PUBACK_REASONS, PUBREL_REASONS};
    let (kind, flags) = (first >> 4, first & 0x0f);
    // [MQTT-2.1.3-1] PUBREL, SUBSCRIBE and UNSUBSCRIBE have 0010, PUBLISH its own, all others 0000. Version 3.1 has a
    // DUP flag on the three, so it is let pass there.
    let wanted = match kind {
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    let flags_of_old = if version == Version::V3_1 {
        flags & 0b0111
    } else {
        flags
    };
    if kind != 3 && flags_of_old != wanted {
        return Err(Violation::ReservedFlags);
    }
    Ok(match kind {
        1 => Packet::Connect(Box::new(Connect::read(body)?)),
        2 => Packet::ConnAck(ConnAck::read(body, version)?),
        3 => Packet::Publish(Publish::read(flags, body, version)?),
        4 => Packet::PubAck(Ack::read(body, version, PUBACK_REASONS)?),
        5 => Packet::PubRec(Ack::read(body, version, PUBACK_REASONS)?),
        6 => Packet::PubRel(Ack::read(body, version, PUBREL_REASONS)?),
        7 => Packet::PubComp(Ack::read(body, version, PUBREL_REASONS)?),
        8 => Packet::Subscribe(Subscribe::read(body, version)?),
        9 => Packet::SubAck(SubAck::read(body, version)?),
        10 => Packet::Unsubscribe(Unsubscribe::read(body, version)?),
        11 => Packet::UnsubAck(UnsubAck::read(body, version)?),
        12 | 13 if !body.is_empty() => return Err(Violation::TrailingBytes),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect(Disconnect::read(body, version)?),
        15 if version.is_v5() => Packet::Auth(Auth::read(body)?),
        other => return Err(Violation::PacketType(other)),
    })
}

/// Writes a packet to the end of `out`.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) {
    if let Packet::Publish(publish) = packet {
        publish.write(version, out);
        return;
    }
    let mut body = BytesMut::new();
    let first = match packet {
        Packet::Connect(p) => {
            p.write(&mut body);
            0x10
        }
        Packet::ConnAck(p) => {
            p.write(version, &mut body);
            0x20
        }
        Packet::Publish(_) => unreachable!("written above"),
        Packet::PubAck(p) => {
            p.write(version, &mut body);
            0x40
        }
        Packet::PubRec(p) => {
            p.write(version, &mut body);
            0x50
        }
        Packet::PubRel(p) => {
            p.write(version, &mut body);
            0x62
        }
        Packet::PubComp(p) => {
            p.write(version, &mut body);
            0x70
        }
        Packet::Subscribe(p) => {
            p.write(version, &mut body);
            0x82
        }
        Packet::SubAck(p) => {
            p.write(version, &mut body);
            0x90
        }
        Packet::Unsubscribe(p) => {
            p.write(version, &mut body);
            0xa2
        }
        Packet::UnsubAck(p) => {
            p.write(version, &mut body);
            0xb0
        }
        Packet::PingReq => 0xc0,
        Packet::PingResp => 0xd0,
        Packet::Disconnect(p) => {
            p.write(version, &mut body);
            0xe0
        }
        Packet::Auth(p) => {
            p.write(&mut body);
            0xf0
        }
    };
    out.put_u8(first);
    put_varint(out, body.len() as u32);
    out.extend_from_slice(&body);
}
