// Buttons of the map, its scale and its attribution; the switch between light and dark.

import { latOf, metresPerUnit } from '../core/mercator';
import type { Way } from '../core/wanted';
import type { View } from '../map/view';
import { THEMES, type Theme, type ThemeChoice } from '../media';
import { h, icon, iconButton, setText } from './dom';

const THEME_LABELS: Record<Theme, string> = { system: 'As the system', light: 'Light', dark: 'Dark' };
const SCALE_WIDTH_PX = 96;

export class MapControls {
  readonly element: HTMLElement;
  #view: View;
  #way: HTMLButtonElement;
  #scale = h('span', { class: 'scale' });

  constructor(view: View, attribution: string, fit: () => void, switchWay: () => void) {
    this.#view = view;
    this.#way = iconButton('rows', 'Every position as JSON, not only the map cells in view', switchWay);
    this.element = h(
      'div',
      { class: 'controls' },
      h(
        'div',
        { class: 'buttons' },
        iconButton('plus', 'Zoom in', () => view.zoomBy(1)),
        iconButton('minus', 'Zoom out', () => view.zoomBy(-1)),
        iconButton('fit', 'Show the whole map', fit),
        this.#way,
      ),
      h('div', { class: 'imprint' }, this.#scale, credit(attribution)),
    );
  }

  setWay(way: Way): void {
    this.#way.setAttribute('aria-pressed', String(way === 'json'));
  }

  refresh(): void {
    const camera = this.#view.camera();
    if (!Number.isFinite(latOf(camera.y))) return;
    const metresPerPixel = metresPerUnit(camera.y) / camera.scale;
    const length = rounded(metresPerPixel * SCALE_WIDTH_PX);
    this.#scale.style.setProperty('--length', `${Math.round(length / metresPerPixel)}px`);
    setText(this.#scale, length < 1000 ? `${length} m` : `${length / 1000} km`);
  }
}

/** The largest of 1, 2 or 5 times a power of ten that isn't longer. */
function rounded(metres: number): number {
  const power = 10 ** Math.floor(Math.log10(metres));
  return (metres >= 5 * power ? 5 : metres >= 2 * power ? 2 : 1) * power;
}

function credit(attribution: string): HTMLElement {
  if (!attribution.includes('OpenStreetMap')) return h('span', {}, attribution);
  const href = 'https://www.openstreetmap.org/copyright';
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, attribution);
}

export function themeSwitch(theme: ThemeChoice): HTMLElement {
  const group = h('fieldset', { class: 'theme' }, h('legend', { class: 'visually-hidden' }, 'Colours'));
  for (const choice of THEMES) {
    const checked = theme.choice === choice;
    const input = h('input', { type: 'radio', name: 'theme', value: choice, checked });
    input.addEventListener('change', () => theme.choose(choice));
    const label = THEME_LABELS[choice];
    group.append(
      h('label', { title: label }, input, icon(choice), h('span', { class: 'visually-hidden' }, label)),
    );
  }
  return group;
}
