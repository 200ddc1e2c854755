// How it works: the way of a position from the vehicle to this page, with the rates that the page knows itself.

import { bytes, count } from '../core/words';
import { h, icon, iconButton, setText } from './dom';

export interface Rates {
  vehicles: number;
  messages: number;
  bytes: number;
  /** Filters of map cells, of all filters. */
  cells: number;
  filters: number;
  isFar: boolean;
  isJson: boolean;
  connection: string;
}

const STEPS = [
  [
    'Simulator',
    'Each vehicle is an MQTT client. It drives on the roads of the map and publishes its position twice a second, as JSON.',
  ],
  [
    'Broker',
    'Takes the MQTT messages, writes each as a plain record to Kafka, and only then says that it has it. It keeps nothing itself.',
  ],
  [
    'Kafka',
    'The log of all positions, and the only memory here: any other part can be killed and started again.',
  ],
  [
    'Aggregator',
    'Reads the positions and makes totals of them, by company, direction and map cell; alerts; and frames, which hold all vehicles of a cell.',
  ],
  ['Kafka', 'Totals, alerts and frames are records again, for any program to read.'],
  ['Broker', 'Sends them on as MQTT over WebSocket, to each page what it has subscribed to.'],
] as const;

export class FlowPanel {
  readonly button: HTMLButtonElement;
  readonly element: HTMLDialogElement;
  #simulator = h('p', { class: 'rate' });
  #page = h('p', { class: 'rate' });
  #asked = h('p');

  constructor() {
    const list = h('ol', { class: 'flow' });
    for (const [n, [name, text]] of STEPS.entries()) {
      const step = h('li', {}, h('h3', {}, name), h('p', {}, text));
      if (n === 0) step.append(this.#simulator);
      list.append(step);
    }
    list.append(h('li', { class: 'here' }, h('h3', {}, 'This page'), this.#asked, this.#page));
    const close = iconButton('close', 'Close', () => this.element.close());
    this.element = h(
      'dialog',
      { class: 'about', 'aria-labelledby': 'about-title' },
      h('header', {}, h('h2', { id: 'about-title' }, 'How it works'), close),
      list,
    );
    // A click beside the panel closes it: the dialog itself is hit only there.
    this.element.addEventListener('click', (event) => {
      if (event.target === this.element) this.element.close();
    });
    this.button = h('button', { type: 'button', class: 'text-button' }, icon('help'), 'How it works');
    this.button.addEventListener('click', () => this.element.showModal());
  }

  refresh(rates: Rates): void {
    if (!this.element.open) return;
    const { vehicles, cells, filters, isFar, isJson, connection } = rates;
    setText(
      this.#simulator,
      vehicles > 0
        ? `${count(vehicles)} vehicles report now: about ${count(vehicles * 2)} positions per second.`
        : 'No vehicle is known to this page yet.',
    );
    const what = isJson
      ? 'every position of every vehicle'
      : isFar
        ? 'the counts of the map cells in view: so far out, single vehicles would be too many'
        : `the frames of ${count(cells)} map cells in and around the view; others come as one pans`;
    setText(
      this.#asked,
      `It has ${count(filters)} subscriptions and takes ${what}. Between two messages it moves the vehicles itself, along their bearing. It may read and can send nothing.`,
    );
    setText(
      this.#page,
      `${connection}: ${count(rates.messages)} messages and ${bytes(rates.bytes)} per second come in.`,
    );
  }
}
