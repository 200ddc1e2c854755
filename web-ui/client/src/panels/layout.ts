// The page's skeleton: the map fills it, the panel lies over its left side, on a phone over its top and bottom.

import type { Config } from '../config';
import type { Padding } from '../map/view';
import { h, icon } from './dom';

export interface Parts {
  badge: HTMLElement;
  notice: HTMLElement;
  announcer: HTMLElement;
  search: HTMLElement;
  stats: HTMLElement;
  companies: HTMLElement;
  numbers: HTMLElement;
  latency: HTMLElement;
  about: HTMLElement;
  aboutButton: HTMLElement;
  vehicle: HTMLElement;
  theme: HTMLElement;
  trail: SVGElement;
}

/** From here on the panel is a column beside the map; below it, a sheet. As in styles/phone.css. */
const WIDE = matchMedia('(min-width: 640px)');
const GAP_PX = 12;

export class Layout {
  readonly map = h('div', { class: 'map' });
  readonly canvas = h('canvas', { class: 'vehicles', 'aria-hidden': 'true' });
  readonly counts = h('canvas', { class: 'vehicles', 'aria-hidden': 'true', hidden: true });
  readonly hint = h('div', { class: 'hint', hidden: true, 'aria-hidden': 'true' });
  /** What the circles with numbers are. */
  readonly legend = h('p', { class: 'legend', hidden: true });
  readonly messages = h('p', { class: 'messages', hidden: true });
  #root: HTMLElement;
  #top: HTMLElement;
  #sheet: HTMLElement;
  #vehicle: HTMLElement;

  constructor(root: HTMLElement, config: Config, parts: Parts) {
    this.#root = root;
    this.#vehicle = parts.vehicle;
    this.#top = h(
      'header',
      { class: 'top' },
      h(
        'div',
        { class: 'brand' },
        h('span', { class: 'logo' }, icon('brand')),
        h('h1', {}, config.title, h('small', {}, config.map.name)),
        parts.badge,
      ),
      parts.search,
    );
    const handle = h(
      'button',
      { type: 'button', class: 'handle', 'aria-expanded': 'false', 'aria-label': 'More numbers' },
      icon('up'),
    );
    this.#sheet = h(
      'section',
      { class: 'sheet', 'aria-label': 'The fleet' },
      handle,
      parts.stats,
      h('div', { class: 'scroll' }, parts.companies, parts.numbers, parts.latency),
      this.messages,
      h(
        'footer',
        { class: 'foot' },
        parts.theme,
        parts.aboutButton,
        ...links(config),
        h('small', {}, `v${config.version}`),
      ),
    );
    handle.addEventListener('click', () => {
      const open = this.#sheet.classList.toggle('open');
      handle.setAttribute('aria-expanded', String(open));
    });
    root.append(
      this.map,
      parts.trail,
      this.canvas,
      this.counts,
      h('div', { class: 'panel' }, this.#top, this.#sheet),
      parts.vehicle,
      parts.notice,
      this.legend,
      this.hint,
      parts.announcer,
      parts.about,
    );
  }

  append(...elements: HTMLElement[]): void {
    this.#root.append(...elements);
  }

  setFollowing(following: boolean): void {
    this.#root.classList.toggle('following', following);
  }

  /** How much of the map the panels cover, now and whenever that changes. */
  watchPadding(changed: (padding: Padding) => void): void {
    const measure = () => changed(this.#padding());
    const observer = new ResizeObserver(measure);
    for (const element of [this.#root, this.#top, this.#sheet, this.#vehicle]) observer.observe(element);
    measure();
  }

  #padding(): Padding {
    const none = { top: 0, right: 0, bottom: 0, left: 0 };
    if (WIDE.matches) return { ...none, left: Math.round(this.#top.getBoundingClientRect().right) + GAP_PX };
    const lower = this.#vehicle.hidden ? this.#sheet : this.#vehicle;
    this.#root.style.setProperty('--covered', `${lower.offsetHeight}px`);
    const covered = Math.min(lower.offsetHeight, innerHeight / 2);
    return {
      ...none,
      top: Math.round(this.#top.getBoundingClientRect().bottom),
      bottom: Math.round(covered),
    };
  }
}

function links({ grafanaUrl }: Config): HTMLElement[] {
  if (!grafanaUrl) return [];
  return [h('a', { href: grafanaUrl, target: '_blank', rel: 'noopener noreferrer' }, 'Grafana')];
}
