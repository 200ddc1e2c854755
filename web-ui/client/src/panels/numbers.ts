// The fleet in numbers: where it goes, what it does, and what somebody should look at.

import type { AlertList } from '../core/alerts';
import { type Alert, DIRECTIONS, type Direction } from '../core/decode';
import type { Sum } from '../core/totals';
import { count, kmh } from '../core/words';
import { h, setText } from './dom';

const ALERTS_SHOWN = 4;
const DIRECTION_NAMES: Record<Direction, string> = {
  NW: 'North-west',
  NE: 'North-east',
  SW: 'South-west',
  SE: 'South-east',
};
const ALERT_WORDS: Record<Alert['kind'], string> = {
  offline: 'silent',
  stopped: 'standing for too long',
  speeding: 'too fast',
};

type State = 'hired' | 'free' | 'moving' | 'standing' | Alert['kind'];

export class Numbers {
  readonly element: HTMLElement;
  #directions = new Map<Direction, { value: HTMLElement; bar: HTMLElement }>();
  #states = new Map<State, HTMLElement>();
  #alerts = h('ul', { class: 'alerts' });
  #shown = '';

  constructor(hired: string, free: string, follow: (plate: string) => void) {
    const compass = h('dl', { class: 'compass' });
    for (const direction of DIRECTIONS) {
      const value = h('dd', {}, '–');
      const bar = h('span', { class: 'share', 'aria-hidden': 'true' });
      this.#directions.set(direction, { value, bar });
      const name = h('dt', { title: DIRECTION_NAMES[direction] }, direction);
      compass.append(h('div', { 'data-direction': direction }, name, value, bar));
    }
    const states = h('dl', { class: 'states' });
    const labels: Record<State, string> = {
      hired,
      free,
      moving: 'Moving',
      standing: 'Standing',
      speeding: 'Too fast',
      stopped: 'Stuck',
      offline: 'Silent',
    };
    for (const [state, label] of Object.entries(labels) as [State, string][]) {
      const value = h('dd', {}, '–');
      this.#states.set(state, value);
      states.append(h('div', { 'data-vehicles': state }, h('dt', {}, label), value));
    }
    // The list is made anew while one presses: what was pressed is found by its plate.
    this.#alerts.addEventListener('click', (event) => {
      const plate = (event.target as Element).closest<HTMLElement>('button')?.dataset.plate;
      if (plate) follow(plate);
    });
    this.element = h(
      'div',
      { class: 'numbers' },
      h('section', { 'aria-label': 'Direction of travel' }, h('h2', {}, 'Direction of travel'), compass),
      h('section', { 'aria-label': 'Vehicles by state' }, h('h2', {}, 'Vehicles by state'), states),
      h('section', { 'aria-label': 'Alerts' }, h('h2', {}, 'Alerts'), this.#alerts),
    );
  }

  refresh(sum: Sum, directions: ReadonlyMap<Direction, number>, alerts: AlertList): void {
    let moving = 0;
    for (const vehicles of directions.values()) moving += vehicles;
    for (const [direction, { value, bar }] of this.#directions) {
      const vehicles = directions.get(direction);
      setText(value, vehicles === undefined ? '–' : count(vehicles));
      bar.style.setProperty('--share', String(moving > 0 ? (vehicles ?? 0) / moving : 0));
    }
    const numbers: Record<State, number> = {
      hired: sum.hired,
      free: sum.vehicles - sum.hired,
      moving,
      // Both totals are counted at their own moment, so one may be ahead of the other.
      standing: Math.max(0, sum.vehicles - moving),
      ...alerts.lasting(),
    };
    for (const [state, value] of this.#states) {
      setText(value, sum.vehicles > 0 ? count(numbers[state]) : '–');
    }
    this.#list(alerts);
  }

  #list(alerts: AlertList): void {
    const latest = alerts.latest(ALERTS_SHOWN);
    const lines = latest.map(({ alert, isOver }) => ({
      kind: alert.kind,
      plate: alert.plate,
      text: `${ALERT_WORDS[alert.kind]}${detail(alert)}${isOver ? ', over' : ''}`,
      began: new Date(alert.beganAt).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }),
      isOver,
    }));
    // Made anew only when it says something else, so that the focus stays where it is.
    const shown = JSON.stringify(lines);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>('.alerts button');
    this.#alerts.replaceChildren(
      ...lines.map(({ kind, plate, text, began, isOver }) =>
        h(
          'li',
          { class: isOver ? 'over' : kind },
          h('button', { type: 'button', 'data-plate': plate, title: `Follow ${plate}` }, plate),
          h('span', {}, text),
          h('time', {}, began),
        ),
      ),
    );
    if (lines.length === 0)
      this.#alerts.append(h('li', { class: 'over' }, 'None: nobody is too fast, stuck or silent.'));
    const plate = focused?.dataset.plate;
    if (plate) this.#alerts.querySelector<HTMLElement>(`[data-plate="${CSS.escape(plate)}"]`)?.focus();
  }
}

function detail({ kind, speed, speedLimit }: Alert): string {
  if (kind !== 'speeding') return '';
  return speedLimit === undefined
    ? ` at ${kmh(speed)}`
    : `: ${kmh(speed)} where ${count(speedLimit)} is allowed`;
}
