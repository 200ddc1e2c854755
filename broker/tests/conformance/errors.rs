//! What is malformed or breaks the protocol (§4.13), as a table: each row ends its own connection, and no other.

use mqtt::Version::{self, V3_1_1, V5};
use mqtt::{QoS, ReasonCode};

use crate::support::subscription;
use crate::{assert_closed, client, say, take};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;
const NAME: ReasonCode = ReasonCode::TOPIC_NAME_INVALID;
const FILTER: ReasonCode = ReasonCode::TOPIC_FILTER_INVALID;
const ALIAS: ReasonCode = ReasonCode::TOPIC_ALIAS_INVALID;

/// What it is, the version, the bytes, and the reason code for version 5.
type Row = (&'static str, Version, &'static [u8], ReasonCode);

/// Fixed header and common fields: [MQTT-2.1.3-1] (2.2.2-1, 2.2.2-2 of 3.1.1), [MQTT-1.5.5-1], [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-2.2.1-2],
/// [MQTT-2.2.1-3], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1]
#[rustfmt::skip]
const FRAMES: &[Row] = &[
    ("packet type 0", V3_1_1, b"\x00\x00", MALFORMED),
    ("packet type 0, 5", V5, b"\x00\x00", MALFORMED),
    ("packet type 15", V3_1_1, b"\xf0\x00", MALFORMED),
    ("length of five bytes", V3_1_1, b"\x30\x80\x80\x80\x80\x01", MALFORMED),
    ("length of five bytes, 5", V5, b"\x30\x80\x80\x80\x80\x01", MALFORMED),
    ("flags of puback", V5, b"\x41\x02\x00\x01", MALFORMED),
    ("flags of pubrec", V3_1_1, b"\x51\x02\x00\x01", MALFORMED),
    ("flags of pubrel", V3_1_1, b"\x60\x02\x00\x01", MALFORMED),
    ("flags of pubrel, 5", V5, b"\x60\x02\x00\x01", MALFORMED),
    ("flags of pubcomp", V5, b"\x72\x02\x00\x01", MALFORMED),
    ("flags of subscribe", V3_1_1, b"\x80\x06\x00\x01\x00\x01a\x00", MALFORMED),
    ("flags of subscribe, 5", V5, b"\x80\x07\x00\x01\x00\x00\x01a\x00", MALFORMED),
    ("flags of unsubscribe", V3_1_1, b"\xa0\x05\x00\x01\x00\x01a", MALFORMED),
    ("flags of unsubscribe, 5", V5, b"\xa0\x06\x00\x01\x00\x00\x01a", MALFORMED),
    ("flags of pingreq", V3_1_1, b"\xc1\x00", MALFORMED),
    ("flags of pingreq, 5", V5, b"\xc1\x00", MALFORMED),
    ("flags of disconnect", V3_1_1, b"\xe1\x00", MALFORMED),
    ("flags of disconnect, 5", V5, b"\xe1\x00", MALFORMED),
    ("flags of auth", V5, b"\xf1\x00", MALFORMED),
    ("pingreq with a body", V3_1_1, b"\xc0\x01\x00", MALFORMED),
    ("pingreq with a body, 5", V5, b"\xc0\x01\x00", MALFORMED),
    ("disconnect with a body", V3_1_1, b"\xe0\x01\x00", MALFORMED),
    ("puback without identifier", V3_1_1, b"\x40\x00", MALFORMED),
    ("puback with identifier 0, 5", V5, b"\x40\x02\x00\x00", MALFORMED),
    ("subscribe with identifier 0", V3_1_1, b"\x82\x06\x00\x00\x00\x01a\x00", MALFORMED),
    ("subscribe with identifier 0, 5", V5, b"\x82\x07\x00\x00\x00\x00\x01a\x00", MALFORMED),
    ("unsubscribe with identifier 0, 5", V5, b"\xa2\x06\x00\x00\x00\x00\x01a", MALFORMED),
    ("publish with identifier 0", V3_1_1, b"\x32\x05\x00\x01a\x00\x00", MALFORMED),
    ("publish with identifier 0, 5", V5, b"\x32\x06\x00\x01a\x00\x00\x00", MALFORMED),
];

/// PUBLISH: [MQTT-3.3.1-2], [MQTT-3.3.1-4], [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-3.3.2-8], [MQTT-3.3.2-13], [MQTT-3.3.2-14], [MQTT-3.3.4-6],
/// [MQTT-4.7.3-1], [MQTT-4.7.3-2]
#[rustfmt::skip]
const PUBLISHES: &[Row] = &[
    ("qos 3", V3_1_1, b"\x36\x05\x00\x01a\x00\x01", MALFORMED),
    ("qos 3, 5", V5, b"\x36\x06\x00\x01a\x00\x01\x00", MALFORMED),
    ("dup on qos 0", V3_1_1, b"\x38\x03\x00\x01a", MALFORMED),
    ("dup on qos 0, 5", V5, b"\x38\x04\x00\x01a\x00", MALFORMED),
    ("no topic", V3_1_1, b"\x30\x02\x00\x00", NAME),
    ("no topic and no alias, 5", V5, b"\x30\x03\x00\x00\x00", NAME),
    ("topic with #", V3_1_1, b"\x30\x05\x00\x03a/#", NAME),
    ("topic with +, 5", V5, b"\x30\x06\x00\x03a/+\x00", NAME),
    ("topic with u+0000", V3_1_1, b"\x30\x04\x00\x02a\x00", MALFORMED),
    ("topic with u+0000, 5", V5, b"\x30\x05\x00\x02a\x00\x00", MALFORMED),
    ("topic that is no utf-8", V3_1_1, b"\x30\x03\x00\x01\xff", MALFORMED),
    ("topic with a surrogate, 5", V5, b"\x30\x06\x00\x03\xed\xa0\x80\x00", MALFORMED),
    ("topic past the end", V3_1_1, b"\x30\x03\x00\x09a", MALFORMED),
    ("qos 1 without identifier, 5", V5, b"\x32\x03\x00\x01a", MALFORMED),
    ("properties past the end, 5", V5, b"\x30\x05\x00\x01a\x05\x01", MALFORMED),
    ("unknown property, 5", V5, b"\x30\x06\x00\x01a\x02\x7f\x00", MALFORMED),
    ("property of connect, 5", V5, b"\x30\x07\x00\x01a\x03\x21\x00\x01", MALFORMED),
    ("payload format 2, 5", V5, b"\x30\x06\x00\x01a\x02\x01\x02", PROTOCOL),
    ("payload format twice, 5", V5, b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", PROTOCOL),
    ("alias 0, 5", V5, b"\x30\x07\x00\x01a\x03\x23\x00\x00", ALIAS),
    ("response topic with a wildcard, 5", V5, b"\x30\x08\x00\x01a\x04\x08\x00\x01#", NAME),
    ("subscription identifier of a client, 5", V5, b"\x30\x06\x00\x01a\x02\x0b\x01", MALFORMED),
    ("user property with u+0000, 5", V5, b"\x30\x0a\x00\x01a\x06\x26\x00\x01\x00\x00\x00", MALFORMED),
];

/// SUBSCRIBE and UNSUBSCRIBE: [MQTT-3.8.3-1], [MQTT-3.8.3-2], [MQTT-3.8.3-4], [MQTT-3.8.3-5], [MQTT-3.10.3-1], [MQTT-3.10.3-2], [MQTT-4.7.1-1], [MQTT-4.7.1-2],
/// [MQTT-4.8.2-1], [MQTT-4.8.2-2], and of 3.1.1 [MQTT-3.8.3-3], [MQTT-3-8.3-4], [MQTT-3.10.3-2]
#[rustfmt::skip]
const SUBSCRIBES: &[Row] = &[
    ("no filter", V3_1_1, b"\x82\x02\x00\x01", PROTOCOL),
    ("no filter, 5", V5, b"\x82\x03\x00\x01\x00", PROTOCOL),
    ("unsubscribe no filter", V3_1_1, b"\xa2\x02\x00\x01", PROTOCOL),
    ("unsubscribe no filter, 5", V5, b"\xa2\x03\x00\x01\x00", PROTOCOL),
    ("filter without options", V3_1_1, b"\x82\x05\x00\x01\x00\x01a", MALFORMED),
    ("reserved bits of the qos", V3_1_1, b"\x82\x06\x00\x01\x00\x01a\x04", MALFORMED),
    ("reserved bits of the options, 5", V5, b"\x82\x07\x00\x01\x00\x00\x01a\x40", MALFORMED),
    ("qos 3 asked for", V3_1_1, b"\x82\x06\x00\x01\x00\x01a\x03", MALFORMED),
    ("qos 3 asked for, 5", V5, b"\x82\x07\x00\x01\x00\x00\x01a\x03", PROTOCOL),
    ("retain handling 3, 5", V5, b"\x82\x07\x00\x01\x00\x00\x01a\x30", PROTOCOL),
    ("no local on a shared one, 5", V5, b"\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04", PROTOCOL),
    ("subscription identifier 0, 5", V5, b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", PROTOCOL),
    ("two subscription identifiers, 5", V5, b"\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", PROTOCOL),
    ("empty filter", V3_1_1, b"\x82\x05\x00\x01\x00\x00\x00", FILTER),
    ("empty filter, 5", V5, b"\x82\x06\x00\x01\x00\x00\x00\x00", FILTER),
    ("# not at the end", V3_1_1, b"\x82\x08\x00\x01\x00\x03#/a\x00", FILTER),
    ("# not at the end, 5", V5, b"\x82\x09\x00\x01\x00\x00\x03#/a\x00", FILTER),
    ("# not alone on its level, 5", V5, b"\x82\x08\x00\x01\x00\x00\x02a#\x00", FILTER),
    ("+ not alone on its level", V3_1_1, b"\x82\x07\x00\x01\x00\x02a+\x00", FILTER),
    ("+ not alone on its level, 5", V5, b"\x82\x08\x00\x01\x00\x00\x02+a\x00", FILTER),
    ("filter with u+0000, 5", V5, b"\x82\x07\x00\x01\x00\x00\x01\x00\x00", MALFORMED),
    ("share without a group, 5", V5, b"\x82\x0f\x00\x01\x00\x00\x09$share//a\x00", FILTER),
    ("share with a wildcard in its group, 5", V5, b"\x82\x11\x00\x01\x00\x00\x0b$share/g+/a\x00", FILTER),
    ("share without a filter, 5", V5, b"\x82\x0e\x00\x01\x00\x00\x08$share/g\x00", FILTER),
    ("share with an empty filter, 5", V5, b"\x82\x0f\x00\x01\x00\x00\x09$share/g/\x00", FILTER),
];

/// Packets that only a server sends, and reason codes that do not belong: [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1] of the
/// sender; §2.4, §3.14.2.2.5 ([MQTT-3.14.2-2]).
#[rustfmt::skip]
const OTHERS: &[Row] = &[
    ("pingresp", V3_1_1, b"\xd0\x00", PROTOCOL),
    ("pingresp, 5", V5, b"\xd0\x00", PROTOCOL),
    ("connack", V3_1_1, b"\x20\x02\x00\x00", PROTOCOL),
    ("connack, 5", V5, b"\x20\x03\x00\x00\x00", PROTOCOL),
    ("suback", V3_1_1, b"\x90\x03\x00\x01\x00", PROTOCOL),
    ("suback, 5", V5, b"\x90\x04\x00\x01\x00\x00", PROTOCOL),
    ("unsuback, 5", V5, b"\xb0\x04\x00\x01\x00\x00", PROTOCOL),
    ("puback with a code of suback, 5", V5, b"\x40\x03\x00\x01\x01", MALFORMED),
    ("pubrel with a code of puback, 5", V5, b"\x62\x03\x00\x01\x10", MALFORMED),
    ("puback with trailing bytes", V3_1_1, b"\x40\x03\x00\x01\x00", MALFORMED),
    ("disconnect with a property of connect, 5", V5, b"\xe0\x05\x00\x03\x21\x00\x01", MALFORMED),
];

/// [MQTT-4.13.1-1] (a malformed packet closes with a reason code of 0x80 or more), [MQTT-4.13.2-1], [MQTT-3.14.2-1], and of 3.1.1 [MQTT-4.8.0-1]; the
/// statements at the tables
#[tokio::test]
async fn mqtt_4_13_1_1_a_packet_that_is_not_valid_closes_its_connection_with_the_reason_and_no_other()
 {
    let mut bystander = client(V5, "bystander").await;
    bystander
        .subscribe(vec![subscription("bystander/t", QoS::AtLeastOnce)])
        .await;
    let mut publisher = client(V3_1_1, "bystander-publisher").await;
    let mut wrong = Vec::new();
    for (case, version, bytes, reason) in [FRAMES, PUBLISHES, SUBSCRIBES, OTHERS].concat() {
        let mut bad = client(version, "bad").await;
        bad.send_bytes(bytes).await;
        let row = tokio::spawn(async move { assert_closed(&mut bad, version, reason, case).await });
        if row.await.is_err() {
            wrong.push(case);
        }
        say(&mut publisher, "bystander/t", case).await;
        assert_eq!(take(&mut bystander).await.1, case);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
