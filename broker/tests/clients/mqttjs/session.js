// MQTT.js against the broker: node session.js HOST PORT WS_PORT. A persistent session at QoS 2: what was published while
// the subscriber was away comes exactly once and in order. Exit status 0 when all holds.

import assert from "node:assert/strict";
import mqtt from "mqtt";

const [host, port, wsPort] = process.argv.slice(2);
const COUNT = 50;
const PATIENCE_MS = 30_000;

/** A client whose messages and CONNACK can be waited for. */
class Peer {
    constructor(url, version, clientId, persistent) {
        this.messages = [];
        this.wanted = [];
        this.client = mqtt.connect(url, {
            clientId,
            username: "ann",
            password: "secret",
            protocolVersion: version,
            clean: !persistent,
            reconnectPeriod: 0,
            properties: version === 5 && persistent ? { sessionExpiryInterval: 3600 } : undefined,
        });
        this.client.on("message", (_topic, payload) => {
            const give = this.wanted.shift();
            if (give) give(payload.toString());
            else this.messages.push(payload.toString());
        });
        this.connected = new Promise((resolve, reject) => {
            this.client.once("connect", resolve);
            this.client.once("error", reject);
        });
    }

    next() {
        if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
        return new Promise((resolve) => this.wanted.push(resolve));
    }

    async take(count) {
        const taken = [];
        while (taken.length < count) taken.push(await this.next());
        return taken;
    }
}

async function session(transport, url, version) {
    const name = `mqttjs-${version}-${transport}`;
    const topic = `${name}/t`;
    const numbers = Array.from({ length: COUNT }, (_, number) => String(number));

    let subscriber = new Peer(url, version, `${name}-sub`, true);
    assert.equal((await subscriber.connected).sessionPresent, false);
    const [granted] = await subscriber.client.subscribeAsync(topic, { qos: 2 });
    assert.equal(granted.qos, 2);
    await subscriber.client.endAsync();

    const publisher = new Peer(url, version, `${name}-pub`, false);
    await publisher.connected;
    for (const number of numbers) await publisher.client.publishAsync(topic, number, { qos: 2 });

    subscriber = new Peer(url, version, `${name}-sub`, true);
    assert.equal((await subscriber.connected).sessionPresent, true);
    assert.deepEqual(await subscriber.take(COUNT), numbers);
    // What comes next comes next: nothing came twice.
    await publisher.client.publishAsync(topic, "last", { qos: 2 });
    assert.equal(await subscriber.next(), "last");

    await subscriber.client.endAsync();
    await publisher.client.endAsync();
    console.log(`ok ${name}`);
}

const late = setTimeout(() => {
    console.error("what had to come did not come in time");
    process.exit(1);
}, 4 * PATIENCE_MS);
for (const version of [4, 5]) {
    await session("tcp", `mqtt://${host}:${port}`, version);
    await session("websocket", `ws://${host}:${wsPort}/mqtt`, version);
}
clearTimeout(late);
