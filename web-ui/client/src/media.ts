// What the system and the person ask of the page: less motion, light or dark.

/** The font size of styles/theme.css, 0.875rem. */
const DESK_FONT_PX = 14;

const reduced = matchMedia('(prefers-reduced-motion: reduce)');
const systemDark = matchMedia('(prefers-color-scheme: dark)');

/** Whether to jump instead of gliding. */
export function calm(): boolean {
  return reduced.matches;
}

/** How much larger than on a desk everything is: 1 there, more on a wall. The style sheet decides. */
export function interfaceScale(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / DESK_FONT_PX;
}

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'theme';

/** The choice between light, dark and what the system says; kept for the next visit. */
export class ThemeChoice {
  #choice: Theme;
  #changed: (dark: boolean) => void = () => {};

  constructor() {
    this.#choice = stored();
    systemDark.addEventListener('change', () => this.#apply());
    this.#apply();
  }

  get choice(): Theme {
    return this.#choice;
  }

  get dark(): boolean {
    return this.#choice === 'system' ? systemDark.matches : this.#choice === 'dark';
  }

  onChange(changed: (dark: boolean) => void): void {
    this.#changed = changed;
  }

  choose(choice: Theme): void {
    this.#choice = choice;
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
    this.#apply();
  }

  #apply(): void {
    const theme = this.dark ? 'dark' : 'light';
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    this.#changed(this.dark);
  }
}

function stored(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? 'system';
  } catch {
    return 'system';
  }
}
