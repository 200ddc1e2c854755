"""A persistent session of paho-mqtt at QoS 2: python3 paho_session.py HOST PORT WS_PORT. What was published while the
subscriber was away comes exactly once and in order. Exit status 0 when all holds."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST, PORT, WS_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATIENCE = 30
COUNT = 50


class Peer:
    """A connected client whose messages go to a queue; `is_present` is the Session Present of its CONNACK."""

    def __init__(self, name, version, transport, persistent):
        self.messages, self.subscribed, self.connected = queue.Queue(), queue.Queue(), queue.Queue()
        is_v5 = version == mqtt.MQTTv5
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=version,
            transport=transport,
            clean_session=None if is_v5 else not persistent,
        )
        self.client.username_pw_set("ann", "secret")
        self.client.ws_set_options(path="/mqtt")
        self.client.on_connect = lambda _c, _u, flags, reason, _p: self.connected.put((flags, reason))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, _id, reasons, _p: self.subscribed.put(reasons)
        more = {}
        if is_v5:
            more["clean_start"] = not persistent
            more["properties"] = Properties(PacketTypes.CONNECT)
            more["properties"].SessionExpiryInterval = 3600 if persistent else 0
        self.client.connect(HOST, PORT if transport == "tcp" else WS_PORT, **more)
        self.client.loop_start()
        flags, reason = self.connected.get(timeout=PATIENCE)
        assert not reason.is_failure, reason
        self.is_present = flags.session_present

    def publish(self, topic, payload):
        self.client.publish(topic, payload, 2).wait_for_publish(PATIENCE)

    def payload(self):
        message = self.messages.get(timeout=PATIENCE)
        assert message.qos == 2, message.qos
        return message.payload.decode()

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


for version in (mqtt.MQTTv311, mqtt.MQTTv5):
    for transport in ("tcp", "websockets"):
        name = f"paho-session-{version}-{transport}"
        topic = f"{name}/t"
        subscriber = Peer(name + "-sub", version, transport, persistent=True)
        assert not subscriber.is_present
        subscriber.client.subscribe(topic, 2)
        granted = subscriber.subscribed.get(timeout=PATIENCE)
        assert [reason.value for reason in granted] == [2], granted
        subscriber.stop()

        publisher = Peer(name + "-pub", version, transport, persistent=False)
        for number in range(COUNT):
            publisher.publish(topic, str(number))

        subscriber = Peer(name + "-sub", version, transport, persistent=True)
        assert subscriber.is_present
        came = [subscriber.payload() for _ in range(COUNT)]
        assert came == [str(number) for number in range(COUNT)], came
        # What comes next comes next: nothing came twice.
        publisher.publish(topic, "last")
        assert subscriber.payload() == "last"
        subscriber.stop()
        publisher.stop()
        print(f"ok {name}")
