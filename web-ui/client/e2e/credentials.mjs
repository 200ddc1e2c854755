// What the credentials that the page hands to every visitor can do, tried without the page: read the fleet, no more.

import mqtt from 'mqtt';

const NOT_AUTHORIZED = 0x87;
const PLATE = 'PROBE-1';
/** So many further messages without the refused one: it isn't merely late. */
const MESSAGES_AFTER = 100;

/** One line per thing shown; throws at the first that isn't so. */
export async function browserMayOnlyRead(config, hostname, deadlineMs) {
  const { url, port, path, username, password } = config.mqtt;
  const client = mqtt.connect(url ?? `ws://${hostname}:${port}${path}`, {
    protocolVersion: 5,
    username: username ?? undefined,
    password: password ?? undefined,
    reconnectPeriod: 0,
  });
  try {
    return await within(deadlineMs, tryAll(client, config.topicPrefix));
  } finally {
    client.end(true);
  }
}

async function tryAll(client, prefix) {
  const packets = listen(client);
  await packets.next((packet) => packet.cmd === 'connack' && packet.reasonCode === 0, 'a CONNACK');

  const readable = `${prefix}vehicle_updates/+`;
  await expectSuback(client, packets, readable, (code) => code < 0x80);
  for (const filter of ['#', 'elsewhere/+', '+/vehicle_updates/+']) {
    await expectSuback(client, packets, filter, (code) => code === NOT_AUTHORIZED);
  }

  const topic = `${prefix}vehicle_updates/${PLATE}`;
  const sample = await packets.next(
    (packet) => packet.cmd === 'publish' && packet.payload.length > 0,
    'a position',
  );
  const forged = { ...JSON.parse(sample.payload), plate: PLATE };
  client.publish(topic, JSON.stringify(forged), { qos: 1 }, () => {
    // The answer is read from the packets below.
  });
  const answer = await packets.next(
    (packet) => packet.cmd === 'puback' || packet.cmd === 'disconnect',
    'an answer to the PUBLISH',
  );
  if (answer.reasonCode !== NOT_AUTHORIZED) {
    throw new Error(
      `a PUBLISH with the browser's credentials was answered by ${answer.cmd} ${answer.reasonCode}, not by 135`,
    );
  }
  if (answer.cmd === 'puback') {
    for (let n = 0; n < MESSAGES_AFTER; n++) {
      const message = await packets.next((packet) => packet.cmd === 'publish', 'further positions');
      if (message.topic === topic) throw new Error('a refused PUBLISH arrived all the same');
    }
  }
  return [
    `the browser's credentials read ${readable}, and no filter outside ${prefix} (SUBACK 0x87)`,
    `a PUBLISH with them is refused (${answer.cmd.toUpperCase()} 0x87), and nothing of it arrives`,
  ];
}

async function expectSuback(client, packets, filter, fits) {
  client.subscribe(filter, { qos: 0 }, () => {
    // As above.
  });
  const { granted } = await packets.next((packet) => packet.cmd === 'suback', `a SUBACK for ${filter}`);
  if (!fits(granted[0]))
    throw new Error(`SUBACK for ${filter} with the browser's credentials is ${granted[0]}`);
}

/** The packets from the broker, in order. */
function listen(client) {
  const received = [];
  let failure;
  let wake = () => {};
  client.on('packetreceive', (packet) => {
    received.push(packet);
    wake();
  });
  const fail = (error) => {
    failure ??= error;
    wake();
  };
  client.on('error', fail);
  client.on('close', () => fail(new Error('the broker closed the connection')));
  return {
    async next(fits, what) {
      for (;;) {
        while (received.length > 0) {
          const packet = received.shift();
          if (fits(packet)) return packet;
        }
        if (failure) throw new Error(`waited for ${what}: ${failure.message}`);
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

async function within(deadlineMs, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the broker gave no answer within ${deadlineMs} ms`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
