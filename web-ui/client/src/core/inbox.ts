// Takes in messages: finds out what each is about, checks it and puts it where it belongs. A bad one is counted.

import { type Decoded, decodePosition, decodeStatus, decodeTotal, subjectOf } from './decode';
import { Meter } from './meter';
import type { Store } from './store';
import type { Totals } from './totals';

export class Inbox {
  bad = 0;
  lastBad = '';
  /** Page time of the newest position, ms; 0 before the first. */
  lastPositionMs = 0;
  #prefix: string;
  #store: Store;
  #totals: Totals;
  #meter = new Meter();

  constructor(prefix: string, store: Store, totals: Totals) {
    this.#prefix = prefix;
    this.#store = store;
    this.#totals = totals;
  }

  get messages(): number {
    return this.#meter.total;
  }

  rate(nowMs: number): number {
    return this.#meter.perSecond(nowMs);
  }

  take(topic: string, payload: Uint8Array, nowMs: number): void {
    this.#meter.add(nowMs);
    const subject = subjectOf(topic, this.#prefix);
    if (!subject) {
      this.#refuse(topic, 'not one of the fleet’s topics');
    } else if (subject.kind === 'position') {
      this.#position(topic, subject.name, payload, nowMs);
    } else if (subject.kind === 'total') {
      if (payload.length === 0) this.#totals.remove(subject.name);
      else this.#read(topic, decodeTotal(payload), (total) => this.#totals.set(total));
    } else if (payload.length > 0) {
      this.#read(topic, decodeStatus(payload), (word) => this.#store.setStatus(subject.name, word, nowMs));
    }
  }

  #position(topic: string, plate: string, payload: Uint8Array, nowMs: number): void {
    if (payload.length === 0) {
      this.#store.remove(plate);
      return;
    }
    this.#read(topic, decodePosition(payload), (position) => {
      if (position.plate !== plate) {
        this.#refuse(topic, `its plate is ${position.plate}`);
        return;
      }
      this.lastPositionMs = nowMs;
      this.#store.update(position, nowMs);
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
