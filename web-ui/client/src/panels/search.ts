// Search by plate: a combobox with the known plates that fit.

import { sign } from '../map/shapes';
import { h, icon } from './dom';

/** What a plate looks like. */
const PLATE = /^[A-Z0-9-]{1,16}$/;

export interface Hit {
  plate: string;
  company: string;
  shape: Parameters<typeof sign>[0];
  color: string;
}

export class Search {
  readonly element: HTMLElement;
  #input: HTMLInputElement;
  #list = h('ul', { id: 'search-hits', role: 'listbox', 'aria-label': 'Vehicles', hidden: true });
  #find: (query: string) => Hit[];
  #choose: (plate: string) => void;
  #hits: Hit[] = [];
  /** What the options stand for, in order. */
  #plates: string[] = [];
  #active = -1;

  constructor(find: (query: string) => Hit[], choose: (plate: string) => void) {
    this.#find = find;
    this.#choose = choose;
    this.#input = h('input', {
      type: 'search',
      placeholder: 'Find a plate',
      role: 'combobox',
      'aria-label': 'Find a vehicle by its plate',
      'aria-expanded': 'false',
      'aria-controls': 'search-hits',
      'aria-autocomplete': 'list',
      autocomplete: 'off',
      autocapitalize: 'characters',
      spellcheck: 'false',
      enterkeyhint: 'search',
    });
    this.element = h('div', { class: 'search', role: 'search' }, icon('search'), this.#input, this.#list);
    this.#input.addEventListener('input', () => this.#open());
    this.#input.addEventListener('focus', () => this.#open());
    this.#input.addEventListener('blur', () => this.#close());
    this.#input.addEventListener('keydown', (event) => this.#key(event));
    // Before the field loses the focus, or the list would be gone when the click comes.
    this.#list.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      const plate = (event.target as Element).closest<HTMLElement>('[role=option]')?.dataset.plate;
      if (plate) this.#take(plate);
    });
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  #open(): void {
    const query = this.#input.value;
    this.#hits = this.#find(query);
    this.#plates = this.#hits.map((hit) => hit.plate);
    this.#active = this.#hits.length > 0 ? 0 : -1;
    const options = this.#hits.map((hit, n) =>
      h(
        'li',
        {
          role: 'option',
          id: `search-hit-${n}`,
          'data-plate': hit.plate,
          'aria-selected': String(n === this.#active),
        },
        sign(hit.shape, hit.color),
        h('b', {}, hit.plate),
        h('span', {}, hit.company),
      ),
    );
    const typed = query.trim().toUpperCase();
    const isHit = this.#hits.some((hit) => hit.plate === typed);
    if (typed !== '' && !isHit) options.push(PLATE.test(typed) ? this.#elsewhere(typed) : noPlate());
    this.#list.replaceChildren(...options);
    this.#show(options.length > 0);
  }

  /** Only the vehicles in view are known: any other may be somewhere else, and is asked for by its plate. */
  #elsewhere(plate: string): HTMLLIElement {
    const n = this.#plates.length;
    this.#plates.push(plate);
    if (n === 0) this.#active = 0;
    return h(
      'li',
      {
        role: 'option',
        id: `search-hit-${n}`,
        'data-plate': plate,
        'aria-selected': String(n === this.#active),
      },
      icon('search'),
      h('b', {}, plate),
      h('span', {}, 'look for it'),
    );
  }

  #show(open: boolean): void {
    this.#list.hidden = !open;
    this.#input.setAttribute('aria-expanded', String(open));
    const active = open && this.#active >= 0 ? `search-hit-${this.#active}` : '';
    this.#input.setAttribute('aria-activedescendant', active);
  }

  #close(): void {
    this.#active = -1;
    this.#show(false);
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'Escape' && !this.#list.hidden) {
      // Only the list closes; the vehicle that is followed stays.
      event.stopPropagation();
      this.#close();
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (this.#list.hidden) this.#open();
      else this.#move(event.key === 'ArrowDown' ? 1 : -1);
    } else if (event.key === 'Enter') {
      const plate = this.#plates[Math.max(0, this.#active)];
      if (plate && !this.#list.hidden) this.#take(plate);
    }
  }

  #move(by: number): void {
    const { length } = this.#plates;
    if (length === 0) return;
    this.#active = (this.#active + by + length) % length;
    [...this.#list.children].forEach((option, n) => {
      option.setAttribute('aria-selected', String(n === this.#active));
    });
    this.#show(true);
  }

  #take(plate: string): void {
    this.#input.value = '';
    this.#input.blur();
    this.#choose(plate);
  }
}

function noPlate(): HTMLLIElement {
  return h(
    'li',
    { class: 'none', role: 'option', 'aria-disabled': 'true', 'aria-selected': 'false' },
    'No plate looks like that',
  );
}
