// How many vehicles are in each of the larger map cells: what is drawn where single vehicles would be too many.

import { common } from './bounds';
import { FAR_LENGTH } from './coverage';
import { type Bounds, cellBounds, cellWidth } from './geohash';
import { mercatorX, mercatorY } from './mercator';

export interface Circle {
  vehicles: number;
  /** Mercator: the middle of its cells, each weighing what it holds. */
  x: number;
  y: number;
}

/** Circles closer than this would overlap: their cells are drawn as one. */
const APART_PX = 56;

export class Counts {
  /** Counts changes, so that the canvas knows when to paint anew. */
  version = 0;
  #map: Bounds;
  #cells = new Map<string, { vehicles: number; x: number; y: number }>();

  constructor(map: Bounds) {
    this.#map = map;
  }

  get size(): number {
    return this.#cells.size;
  }

  get vehicles(): number {
    let sum = 0;
    for (const { vehicles } of this.#cells.values()) sum += vehicles;
    return sum;
  }

  set(cell: string, vehicles: number): void {
    // A wildcard brings the smaller cells as well.
    const bounds = cell.length === FAR_LENGTH ? cellBounds(cell) : undefined;
    if (!bounds) return;
    this.version++;
    if (vehicles === 0) {
      this.#cells.delete(cell);
      return;
    }
    // Only the part on the map has roads: the number stands there, and not in the sea.
    const { west, east, south, north } = common(bounds, this.#map) ?? bounds;
    this.#cells.set(cell, {
      vehicles,
      x: mercatorX((west + east) / 2),
      y: mercatorY((south + north) / 2),
    });
  }

  /** From now on only these cells are listened to; all, if undefined. */
  hold(cells: ReadonlySet<string> | undefined): void {
    if (!cells) return;
    for (const cell of [...this.#cells.keys()]) {
      if (cells.has(cell)) continue;
      this.#cells.delete(cell);
      this.version++;
    }
  }

  /** The circles to draw where one unit of mercator is `scale` pixels. */
  circles(scale: number): Circle[] {
    let length = FAR_LENGTH;
    while (length > 1 && cellWidth(length) * scale < APART_PX) length--;
    const groups = new Map<string, Circle>();
    for (const [cell, { vehicles, x, y }] of this.#cells) {
      const name = cell.slice(0, length);
      const group = groups.get(name) ?? { vehicles: 0, x: 0, y: 0 };
      const sum = group.vehicles + vehicles;
      group.x += ((x - group.x) * vehicles) / sum;
      group.y += ((y - group.y) * vehicles) / sum;
      group.vehicles = sum;
      groups.set(name, group);
    }
    return [...groups.values()];
  }
}
