// The few numbers one wants at a glance.

import { h, setText } from './dom';

export class Stats {
  readonly element = h('dl', { class: 'stats' });
  #values = new Map<string, HTMLElement>();

  constructor(names: Record<string, string>) {
    for (const [name, label] of Object.entries(names)) {
      const value = h('dd', {}, '–');
      this.#values.set(name, value);
      this.element.append(h('div', { 'data-stat': name }, h('dt', {}, label), value));
    }
  }

  set(name: string, value: string): void {
    const element = this.#values.get(name);
    if (element) setText(element, value);
  }
}
