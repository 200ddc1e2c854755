// Passengers by company: a table, its rows with a bar each, sorted, sliding to their new place when the order changes.

import type { Companies } from '../core/companies';
import type { CompanyTotal } from '../core/decode';
import type { Measure, Totals } from '../core/totals';
import { count } from '../core/words';
import { sign } from '../map/shapes';
import { calm } from '../media';
import { h, setText } from './dom';

/** Rows change places no more often than this: an order that dances can't be read. */
const REORDER_MS = 2_000;
const SLIDE_MS = 450;

interface Row {
  element: HTMLTableRowElement;
  button: HTMLButtonElement;
  sign: HTMLElement;
  bar: HTMLElement;
  cells: HTMLElement[];
  look: string;
}

export class CompanyTable {
  readonly element: HTMLElement;
  #measure: Measure;
  #totals: Totals;
  #companies: Companies;
  #rows = new Map<string, Row>();
  #body = h('tbody');
  #empty = h('p', { class: 'empty' }, 'No totals yet.');
  #orderedMs = 0;
  #only: string | undefined;
  #filter: (company: string | undefined) => void;

  /** `filter` is told which company the map shows alone. */
  constructor(
    totals: Totals,
    companies: Companies,
    measure: Measure,
    filter: (company: string | undefined) => void,
  ) {
    this.#filter = filter;
    this.#totals = totals;
    this.#companies = companies;
    this.#measure = measure;
    const head = ['Company', measure === 'passengers' ? 'Passengers' : 'Loaded', 'Fleet', 'km/h'];
    this.element = h(
      'section',
      { class: 'companies', 'aria-labelledby': 'companies-title' },
      h(
        'h2',
        { id: 'companies-title' },
        measure === 'passengers' ? 'Passengers by company' : 'Loaded trucks by company',
      ),
      h(
        'table',
        { 'aria-labelledby': 'companies-title' },
        h('thead', {}, h('tr', {}, ...head.map((name) => h('th', { scope: 'col' }, name)))),
        this.#body,
      ),
      this.#empty,
    );
  }

  /** The company that is shown alone. */
  get only(): string | undefined {
    return this.#only;
  }

  /** Shows one company alone, or all. */
  show(only: string | undefined): void {
    if (only === this.#only) return;
    this.#only = only;
    for (const [company, row] of this.#rows)
      row.button.setAttribute('aria-pressed', String(company === only));
    this.element.classList.toggle('filtered', only !== undefined);
    this.#filter(only);
  }

  refresh(nowMs: number): void {
    const sorted = this.#totals.sorted(this.#measure);
    const most = Math.max(1, ...sorted.map((total) => total[this.#measure]));
    for (const total of sorted) this.#fill(this.#row(total.company), total, most);
    for (const [company, row] of this.#rows) {
      if (!sorted.some((total) => total.company === company)) {
        row.element.remove();
        this.#rows.delete(company);
        // Nobody could press it again.
        if (company === this.#only) this.show(undefined);
      }
    }
    this.#empty.hidden = sorted.length > 0;
    const order = sorted.map((total) => this.#rows.get(total.company)!.element);
    const settled = order.every((element, n) => this.#body.children[n] === element);
    const isNew = this.#body.children.length !== order.length;
    if (!settled && (isNew || nowMs - this.#orderedMs > REORDER_MS)) {
      this.#orderedMs = nowMs;
      this.#reorder(order);
    }
  }

  #row(company: string): Row {
    const known = this.#rows.get(company);
    if (known) return known;
    const mark = h('span', { class: 'mark' });
    const bar = h('span', { class: 'bar', 'aria-hidden': 'true' });
    const cells = [h('td', { class: 'main' }), h('td'), h('td')];
    const button = h(
      'button',
      {
        type: 'button',
        class: 'name',
        title: `${company}: show its vehicles alone`,
        'aria-pressed': 'false',
      },
      company,
    );
    button.addEventListener('click', () => this.show(this.#only === company ? undefined : company));
    const name = h('th', { scope: 'row' }, mark, button, bar);
    const row: Row = { element: h('tr', {}, name, ...cells), button, sign: mark, bar, cells, look: '' };
    this.#rows.set(company, row);
    return row;
  }

  #fill(row: Row, total: CompanyTotal, most: number): void {
    const company = this.#companies.learn(total.company);
    const look = `${company.shape} ${company.color}`;
    if (row.look !== look) {
      row.look = look;
      row.sign.replaceChildren(sign(company.shape, company.color));
      row.bar.style.setProperty('--color', company.color);
    }
    row.bar.style.setProperty('--share', String(total[this.#measure] / most));
    const texts = [count(total[this.#measure]), count(total.vehicles), count(total.meanSpeed)];
    row.cells.forEach((cell, n) => {
      setText(cell, texts[n]!);
    });
    row.element.dataset.company = total.company;
  }

  /** First, last, invert, play: the rows move in the document at once, and slide there from where they were. */
  #reorder(order: HTMLElement[]): void {
    const before = new Map(order.map((element) => [element, element.offsetTop]));
    const known = new Set<Element>(this.#body.children);
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    this.#body.append(...order);
    // An element that is moved loses the focus.
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    if (calm()) return;
    for (const element of order) {
      const moved = before.get(element)! - element.offsetTop;
      if (moved === 0 || !known.has(element)) continue;
      element.animate([{ transform: `translateY(${moved}px)` }, { transform: 'none' }], {
        duration: SLIDE_MS,
        easing: 'cubic-bezier(.2,.8,.2,1)',
      });
    }
  }
}
