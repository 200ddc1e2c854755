// The MQTT edge: one connection at a time, our own back-off, messages handed on as they come.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { brokerUrl, type Config } from './config';
import { backoffMs } from './core/backoff';
import { type Link, newLink } from './core/link';
import { difference, type Filters } from './core/wanted';

/** Handed every message that arrives. */
export type Receive = (topic: string, payload: Uint8Array, isRetained: boolean) => void;

/** Hidden tabs get one timer a minute, so the broker must not expect a ping sooner. */
const KEEPALIVE_S = 90;
const CONNECT_TIMEOUT_MS = 10_000;
/** A connection that lasted so long was a good one: the next loss starts the back-off anew. */
const SETTLED_MS = 10_000;

export class Feed {
  readonly link: Link = newLink();
  #config: Config;
  #receive: Receive;
  #client: MqttClient | undefined;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wanted: Filters = new Map();
  /** What this connection has asked for. */
  #asked: Filters = new Map();

  constructor(config: Config, receive: Receive) {
    this.#config = config;
    this.#receive = receive;
    // A laptop that wakes up or finds its network again shouldn't sit out the wait.
    addEventListener('online', () => this.#retryNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#retryNow();
    });
  }

  connect(): void {
    this.link.phase = 'connecting';
    const client = mqtt.connect(brokerUrl(this.#config), this.#options());
    this.#client = client;
    client.on('connect', () => this.#opened(client));
    client.on('message', (topic, payload, { retain }) => this.#receive(topic, payload, retain));
    client.on('error', (error) => {
      this.link.error = plain(error);
    });
    client.on('disconnect', (packet) => {
      const reason = packet.properties?.reasonString ?? `reason 0x${(packet.reasonCode ?? 0).toString(16)}`;
      this.link.error = `the broker closed the connection (${reason})`;
    });
    client.on('close', () => this.#closed(client));
  }

  get filters(): Filters {
    return this.#asked;
  }

  /** From now on, these; across connections, too. */
  want(filters: Filters): void {
    this.#wanted = filters;
    if (this.link.phase === 'open' && this.#client) this.#ask(this.#client);
  }

  #options(): IClientOptions {
    const { username, password } = this.#config.mqtt;
    return {
      protocolVersion: 5,
      clientId: `page-${randomHex()}`,
      clean: true,
      keepalive: KEEPALIVE_S,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // This class reconnects: the client's own way is a fixed second, for every page at once.
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      timerVariant: 'native',
      ...(username === null ? {} : { username }),
      ...(password === null ? {} : { password }),
    };
  }

  #opened(client: MqttClient): void {
    this.link.phase = 'open';
    this.link.openedMs = performance.now();
    this.link.everOpen = true;
    this.link.error = undefined;
    this.#asked = new Map();
    this.#ask(client);
  }

  #ask(client: MqttClient): void {
    const { add, drop } = difference(this.#asked, this.#wanted);
    this.#asked = this.#wanted;
    // The new ones first: who goes from one cell to the next is never in none.
    if (add.length > 0) {
      const filters = Object.fromEntries(add.map(([filter, qos]) => [filter, { qos }]));
      client.subscribe(filters, (error) => {
        if (error && client === this.#client)
          this.link.error = `the broker refused a subscription (${plain(error)})`;
      });
    }
    if (drop.length > 0) client.unsubscribe(drop);
  }

  #closed(client: MqttClient): void {
    if (client !== this.#client) return;
    this.#client = undefined;
    client.end(true);
    const { link } = this;
    const now = performance.now();
    if (link.phase === 'open' && now - link.openedMs > SETTLED_MS) this.#attempt = 0;
    link.error ??= link.phase === 'open' ? 'the connection was lost' : 'the broker is not reachable';
    this.#attempt++;
    const wait = backoffMs(this.#attempt, Math.random());
    link.phase = 'waiting';
    link.nextTryMs = now + wait;
    this.#timer = setTimeout(() => this.#retryNow(), wait);
  }

  #retryNow(): void {
    if (this.link.phase !== 'waiting') return;
    clearTimeout(this.#timer);
    this.connect();
  }
}

function plain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (text === 'connack timeout') return 'the broker did not answer';
  // A browser never says why a WebSocket failed.
  return text === '' || /websocket|\[object/i.test(text) ? 'the broker is not reachable' : text;
}

// Not crypto.randomUUID: that one is missing where the page comes over plain HTTP from another machine.
function randomHex(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
