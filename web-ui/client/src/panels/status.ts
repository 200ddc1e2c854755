// The connection, said plainly: a badge that is always there, and a notice over the map when something is wrong.

import type { Report } from '../core/link';
import { h, setText } from './dom';

const NOTICES: Record<Report['state'], string> = {
  connecting: '',
  live: '',
  away: 'No vehicles in view',
  reconnecting: 'Reconnecting to the broker',
  stale: 'No new positions',
  empty: 'No vehicles yet',
};

export class Status {
  readonly badge = h('div', { class: 'badge', 'data-state': 'connecting' });
  readonly notice = h('div', { class: 'notice', hidden: true });
  /** For screen readers: the state alone, once per change. */
  readonly announcer = h('div', { class: 'visually-hidden', role: 'status' });
  #label = h('span');
  #title = h('strong');
  #detail = h('span');
  #problem: { title: string; detail: string } | undefined;

  constructor() {
    this.badge.append(h('span', { class: 'dot', 'aria-hidden': 'true' }), this.#label);
    this.notice.append(this.#title, this.#detail);
  }

  /** A lasting problem of the page itself, shown while the connection has none. */
  setProblem(title: string, detail: string): void {
    this.#problem = { title, detail };
  }

  show(report: Report): void {
    this.badge.dataset.state = report.state;
    this.badge.title = report.detail;
    setText(this.#label, report.label);
    setText(this.announcer, NOTICES[report.state] || report.label);
    const title = NOTICES[report.state] || this.#problem?.title;
    this.notice.hidden = !title;
    this.notice.dataset.state = NOTICES[report.state] ? report.state : 'problem';
    setText(this.#title, title ?? '');
    setText(this.#detail, NOTICES[report.state] ? report.detail : (this.#problem?.detail ?? ''));
  }
}
