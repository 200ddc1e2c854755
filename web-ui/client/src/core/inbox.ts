// Takes in messages: finds out what each is about, checks it and puts it where it belongs. A bad one is counted.

import type { AlertList } from './alerts';
import type { Counts } from './counts';
import {
  type Decoded,
  type Direction,
  decodeAlert,
  decodeCell,
  decodeDirection,
  decodePosition,
  decodeStatus,
  decodeTotal,
  type Subject,
  subjectOf,
} from './decode';
import { decodeFrame } from './frame';
import type { Frames } from './frames';
import type { Latency } from './latency';
import { Meter } from './meter';
import type { Store } from './store';
import type { Totals } from './totals';

/** Where messages go. */
export interface Shelves {
  store: Store;
  frames: Frames;
  counts: Counts;
  totals: Totals;
  directions: Map<Direction, number>;
  alerts: AlertList;
  latency: Latency;
}

/** When a message came: by the page's clock that never jumps, and by the one that vehicles have, too. */
export interface Arrival {
  nowMs: number;
  /** Milliseconds since the Unix epoch. */
  epochMs: number;
  /** It was there before: it says nothing about whether anything still moves. */
  isRetained: boolean;
}

export class Inbox {
  bad = 0;
  lastBad = '';
  /** Page time of the newest sign of a vehicle that reports, ms; 0 before the first. */
  lastPositionMs = 0;
  #prefix: string;
  #to: Shelves;
  #messages = new Meter();
  #bytes = new Meter();

  constructor(prefix: string, shelves: Shelves) {
    this.#prefix = prefix;
    this.#to = shelves;
  }

  get messages(): number {
    return this.#messages.total;
  }

  rate(nowMs: number): number {
    return this.#messages.perSecond(nowMs);
  }

  /** Payloads and topics, bytes per second: nearly what the WebSocket carries. */
  byteRate(nowMs: number): number {
    return this.#bytes.perSecond(nowMs);
  }

  take(topic: string, payload: Uint8Array, arrival: Arrival): void {
    this.#messages.add(arrival.nowMs);
    this.#bytes.add(arrival.nowMs, payload.length + topic.length);
    const subject = subjectOf(topic, this.#prefix);
    if (!subject) this.#refuse(topic, 'not one of the fleet’s topics');
    else if (payload.length === 0) this.#remove(subject, arrival.nowMs);
    else this.#put(topic, subject, payload, arrival);
  }

  /** An empty message: there is no such thing any more. */
  #remove({ kind, name }: Subject, nowMs: number): void {
    const { store, totals, counts, directions, alerts } = this.#to;
    if (kind === 'position') store.remove(name);
    else if (kind === 'total') totals.remove(name);
    else if (kind === 'cell') counts.set(name, 0);
    else if (kind === 'direction') directions.delete(name as Direction);
    else if (kind === 'alert') alerts.remove(name, nowMs);
  }

  #put(topic: string, { kind, name }: Subject, payload: Uint8Array, arrival: Arrival): void {
    const { store, totals, counts, directions, alerts } = this.#to;
    const { nowMs } = arrival;
    if (kind === 'position') {
      this.#position(topic, name, payload, arrival);
    } else if (kind === 'frame') {
      this.#frame(topic, name, payload, arrival);
    } else if (kind === 'status') {
      this.#read(topic, decodeStatus(payload), (word) => store.setStatus(name, word, nowMs));
    } else if (kind === 'total') {
      this.#read(topic, decodeTotal(payload), (total) => totals.set(total));
    } else if (kind === 'direction') {
      this.#read(topic, decodeDirection(payload), (total) => directions.set(total.direction, total.vehicles));
    } else if (kind === 'alert') {
      this.#read(topic, decodeAlert(payload), (alert) => alerts.set(name, alert, nowMs));
    } else {
      this.#read(topic, decodeCell(payload), (total) => {
        counts.set(name, total.vehicles);
        if (!arrival.isRetained && total.vehicles > 0) this.lastPositionMs = nowMs;
      });
    }
    // A total moves only when vehicles report; where no cell in view has one, that still is news of the fleet.
    if (kind === 'direction' && !arrival.isRetained) this.lastPositionMs = nowMs;
  }

  #position(topic: string, plate: string, payload: Uint8Array, { nowMs, epochMs }: Arrival): void {
    this.#read(topic, decodePosition(payload), (position) => {
      if (position.plate !== plate) {
        this.#refuse(topic, `its plate is ${position.plate}`);
        return;
      }
      this.lastPositionMs = nowMs;
      const { store, latency } = this.#to;
      const known = store.has(plate);
      // The first one may have waited somewhere; what follows it comes as it is sent.
      if (store.update(position, nowMs) && known) latency.add(epochMs - position.updateTimestamp, nowMs);
    });
  }

  #frame(topic: string, cell: string, payload: Uint8Array, { nowMs, epochMs }: Arrival): void {
    this.#read(topic, decodeFrame(payload, cell), (frame) => {
      if (frame.vehicles.length > 0) this.lastPositionMs = nowMs;
      const { frames, latency } = this.#to;
      frames.take(cell, frame, nowMs, (timestamp) => latency.add(epochMs - timestamp, nowMs));
    });
  }

  #read<T>(topic: string, decoded: Decoded<T>, use: (value: T) => void): void {
    if (decoded.ok) use(decoded.value);
    else this.#refuse(topic, decoded.reason);
  }

  #refuse(topic: string, reason: string): void {
    this.bad++;
    this.lastBad = `${topic}: ${reason}`;
  }
}
