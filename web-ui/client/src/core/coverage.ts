// Which map cells the page listens to while one pans and zooms: near, the cells whose vehicles are drawn; far out,
// larger cells that are only counted.

import { common, widened } from './bounds';
import { type Bounds, cellsIn, cellWidth, countCells } from './geohash';

/** Characters of the cells that have frames, */
const NEAR_LENGTH = 5;
/** and of those that are counted. */
export const FAR_LENGTH = 4;
/** The most cells whose frames are taken: a view that holds more of the map shows counts. */
export const CELLS_MAX = 96;
/** Back from counts to vehicles only at so many, so that it doesn't flicker at the limit. */
export const CELLS_AGAIN = 64;
/** A cell smaller than this on the screen is counted, too: its vehicles would be a carpet. */
const CELL_PX_MIN = 48;
/** Likewise, the size at which its vehicles come back. */
const CELL_PX_AGAIN = 60;
/** The most counted cells asked for by name; beyond, one wildcard takes all. */
export const COUNTED_MAX = 128;
/** A cell is taken when the view has come this near, as a share of the view, so that it is there before it is seen, */
const TAKE_SHARE = 0.15;
/** and kept until it is this far: going back and forth over a border changes nothing. */
const KEEP_SHARE = 0.6;

export class Coverage {
  /** Cells whose frames are taken. */
  cells: ReadonlySet<string> = new Set();
  /** Cells that are counted; undefined for all. */
  counted: ReadonlySet<string> | undefined = new Set();
  /** Whether the view is so wide that vehicles are counted instead of drawn. */
  isFar = false;
  #map: Bounds;

  /** No vehicle leaves `map`, so nothing beyond it is asked for. */
  constructor(map: Bounds) {
    this.#map = map;
  }

  /** Follows the view, where one unit of mercator is `scale` pixels; whether anything has changed. */
  look(view: Bounds, scale: number): boolean {
    const wasFar = this.isFar;
    const part = common(view, this.#map);
    const seen = part ? countCells(part, NEAR_LENGTH) : 0;
    const tooMany = seen > (wasFar ? CELLS_AGAIN : CELLS_MAX);
    const tooSmall = cellWidth(NEAR_LENGTH) * scale < (wasFar ? CELL_PX_AGAIN : CELL_PX_MIN);
    this.isFar = tooMany || tooSmall;
    const cells = this.isFar ? new Set<string>() : this.#near(view);
    const counted = this.isFar ? this.#far(view) : new Set<string>();
    const changed = !same(cells, this.cells) || !same(counted, this.counted) || wasFar !== this.isFar;
    this.cells = cells;
    this.counted = counted;
    return changed;
  }

  #near(view: Bounds): ReadonlySet<string> {
    // What is seen comes first, then the margin, then what is kept: the bound cuts off the least important.
    const next = new Set([...this.#inside(view), ...this.#inside(widened(view, TAKE_SHARE))]);
    const near = common(widened(view, KEEP_SHARE), this.#map);
    const kept = near ? new Set(cellsIn(near, NEAR_LENGTH, Number.POSITIVE_INFINITY)) : new Set<string>();
    for (const cell of this.cells) if (kept.has(cell)) next.add(cell);
    return new Set([...next].slice(0, CELLS_MAX));
  }

  #inside(view: Bounds): string[] {
    const part = common(view, this.#map);
    return part ? cellsIn(part, NEAR_LENGTH, CELLS_MAX) : [];
  }

  #far(view: Bounds): ReadonlySet<string> | undefined {
    const part = common(view, this.#map);
    if (!part) return new Set();
    if (countCells(part, FAR_LENGTH) > COUNTED_MAX) return undefined;
    return new Set(cellsIn(part, FAR_LENGTH, COUNTED_MAX));
  }
}

function same(a: ReadonlySet<string> | undefined, b: ReadonlySet<string> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && [...a].every((cell) => b.has(cell));
}
