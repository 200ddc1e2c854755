"""paho-mqtt against the broker: python3 paho_messages.py HOST PORT WS_PORT. Exit status 0 when all holds."""

import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST, PORT, WS_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATIENCE = 30


class Peer:
    """A connected client whose messages go to a queue."""

    def __init__(self, name, version, transport, will=None):
        self.messages, self.subscribed = queue.Queue(), queue.Queue()
        connected = threading.Event()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, transport=transport
        )
        self.client.username_pw_set("ann", "secret")
        self.client.ws_set_options(path="/mqtt")
        self.client.on_connect = lambda *_: connected.set()
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, _id, reasons, _p: self.subscribed.put(reasons)
        if will:
            self.client.will_set(will, b"gone", qos=1)
        self.client.connect(HOST, PORT if transport == "tcp" else WS_PORT)
        self.client.loop_start()
        assert connected.wait(PATIENCE), f"{name} is not connected"

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        granted = self.subscribed.get(timeout=PATIENCE)
        assert [reason.value for reason in granted] == [qos], granted

    def publish(self, topic, payload, qos, **more):
        self.client.publish(topic, payload, qos, **more).wait_for_publish(PATIENCE)

    def message(self):
        return self.messages.get(timeout=PATIENCE)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
    for transport in ("tcp", "websockets"):
        name = f"paho-{version}-{transport}"
        subscriber, publisher = Peer(name + "-sub", version, transport), None
        subscriber.subscribe(f"{name}/#", 2)
        publisher = Peer(name + "-pub", version, transport, will=f"{name}/will")
        for qos in (0, 1, 2):
            publisher.publish(f"{name}/qos", str(qos).encode(), qos)
            message = subscriber.message()
            assert (message.payload, message.qos) == (str(qos).encode(), qos), message.payload
        publisher.publish(f"{name}/kept", b"kept", 1, retain=True)
        assert subscriber.message().retain is False
        late = Peer(name + "-late", version, transport)
        late.subscribe(f"{name}/kept", 1)
        message = late.message()
        assert message.retain and message.payload == b"kept"
        if version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = ("trace", "42")
            properties.ResponseTopic = f"{name}/answers"
            properties.CorrelationData = b"\x01"
            publisher.publish(f"{name}/asks", b"?", 1, properties=properties)
            asked = subscriber.message().properties
            assert asked.UserProperty == [("trace", "42")], asked
            assert (asked.ResponseTopic, asked.CorrelationData) == (f"{name}/answers", b"\x01")
        # The socket goes without a goodbye: the will comes.
        publisher.client.loop_stop()
        publisher.client.socket().close()
        assert subscriber.message().topic == f"{name}/will"
        late.stop()
        subscriber.stop()
        print(f"ok {name}")
