// How old positions are when they come: two numbers and a small histogram.

import { type Latency, quantile, STEPS_MS } from '../core/latency';
import { h, setText } from './dom';

/** The part of the steps that is drawn, ms: what is quicker or slower goes into the bars at the ends. */
const FROM_MS = 100;
const TO_MS = 10_000;

export class LatencyPanel {
  readonly element: HTMLElement;
  #latency: Latency;
  #median = h('dd', {}, '–');
  #worst = h('dd', {}, '–');
  #bars: HTMLElement[] = [];
  #first = STEPS_MS.findIndex((ms) => ms >= FROM_MS);
  #last = STEPS_MS.findIndex((ms) => ms >= TO_MS);

  constructor(latency: Latency) {
    this.#latency = latency;
    const chart = h('div', { class: 'histogram', 'aria-hidden': 'true' });
    for (let step = this.#first; step <= this.#last; step++) {
      const bar = h('span', { title: `up to ${millis(STEPS_MS[step])}` });
      this.#bars.push(bar);
      chart.append(bar);
    }
    this.element = h(
      'section',
      { class: 'latency', 'aria-label': 'From the vehicle to this page' },
      h('h2', {}, 'From the vehicle to this page'),
      h(
        'dl',
        {},
        h('div', { 'data-latency': 'p50' }, h('dt', {}, 'half within'), this.#median),
        h('div', { 'data-latency': 'p99' }, h('dt', {}, '99 % within'), this.#worst),
      ),
      chart,
      h(
        'div',
        { class: 'axis', 'aria-hidden': 'true' },
        h('span', {}, '0.1 s'),
        h('span', {}, '1 s'),
        h('span', {}, '10 s'),
      ),
    );
  }

  refresh(nowMs: number): void {
    const histogram = this.#latency.histogram(nowMs);
    setText(this.#median, millis(quantile(histogram, 0.5)));
    setText(this.#worst, millis(quantile(histogram, 0.99)));
    const drawn = histogram.slice(this.#first, this.#last + 1);
    drawn[0] = sum(histogram.slice(0, this.#first + 1));
    drawn[drawn.length - 1] = sum(histogram.slice(this.#last));
    const most = Math.max(1, ...drawn);
    this.#bars.forEach((bar, n) => {
      bar.style.setProperty('--share', String(drawn[n]! / most));
    });
  }
}

function sum(counts: number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}

function millis(ms: number | undefined): string {
  if (ms === undefined) return '–';
  return ms < 995 ? `${Math.round(ms / 10) * 10} ms` : `${(ms / 1000).toFixed(1)} s`;
}
