import { beforeEach, expect, test } from 'vitest';
import { scaleOf } from './camera';
import { CELLS_AGAIN, CELLS_MAX, Coverage } from './coverage';
import { cellAt } from './geohash';

const map = { south: 40, west: -75, north: 42, east: -73 };
/** A scale at which cells are large on the screen. */
const NEAR = scaleOf(14);
/** Degrees: side of a cell of five characters. */
const SIDE = 0.0439453125;
const view = (lng: number, lat: number, cells: number) => {
  const half = (cells * SIDE) / 2;
  return { south: lat - half, west: lng - half, north: lat + half, east: lng + half };
};

let coverage: Coverage;
beforeEach(() => {
  coverage = new Coverage(map);
});

test('near, it takes the frames of what is seen and a margin', () => {
  expect(coverage.look(view(-74, 41, 2), NEAR)).toBe(true);
  expect([coverage.isFar, coverage.counted?.size]).toEqual([false, 0]);
  expect(coverage.cells.has(cellAt(-74, 41, 5))).toBe(true);
  expect(coverage.cells.size).toBeGreaterThanOrEqual(4);
  expect(coverage.cells.size).toBeLessThanOrEqual(16);
  expect(coverage.look(view(-74, 41, 2), NEAR)).toBe(false);
});

test('a pan takes new cells before old ones go, and going back and forth changes nothing', () => {
  coverage.look(view(-74, 41, 2), NEAR);
  const before = new Set(coverage.cells);
  coverage.look(view(-74 + SIDE, 41, 2), NEAR);
  for (const cell of before) expect(coverage.cells.has(cell)).toBe(true);
  coverage.look(view(-74, 41, 2), NEAR);
  expect(coverage.look(view(-74 + SIDE, 41, 2), NEAR)).toBe(false);
  coverage.look(view(-74 + 9 * SIDE, 41, 2), NEAR);
  for (const cell of before) expect(coverage.cells.has(cell)).toBe(false);
});

test('nothing beyond the map is asked for', () => {
  coverage.look(view(0, 0, 2), NEAR);
  expect(coverage.cells.size).toBe(0);
  coverage.look(view(0, 0, 30), scaleOf(8));
  expect([coverage.isFar, coverage.counted?.size]).toEqual([true, 0]);
});

test('far out, larger cells are counted; very far, all of them', () => {
  coverage.look(view(-74, 41, 20), NEAR);
  expect([coverage.isFar, coverage.cells.size]).toEqual([true, 0]);
  expect(coverage.counted?.has(cellAt(-74, 41, 4))).toBe(true);
  const country = new Coverage({ south: 36, west: 6, north: 48, east: 19 });
  country.look({ south: 35, west: 0, north: 50, east: 25 }, NEAR);
  expect(country.counted).toBeUndefined();
});

test('there is a bound, and the way back has some room', () => {
  let most = 0;
  let cells = 1;
  while (!coverage.isFar) {
    cells += 0.1;
    coverage.look(view(-74, 41, cells), NEAR);
    most = Math.max(most, coverage.cells.size);
  }
  expect(most).toBeGreaterThan(CELLS_AGAIN);
  expect(most).toBeLessThanOrEqual(CELLS_MAX);
  // A little back is not enough.
  const limit = cells;
  while (coverage.isFar) {
    cells -= 0.1;
    coverage.look(view(-74, 41, cells), NEAR);
  }
  expect(limit - cells).toBeGreaterThan(0.3);
});

test('cells that are small on the screen are counted, however few they are', () => {
  coverage.look(view(-74, 41, 4), scaleOf(9.4));
  expect(coverage.isFar).toBe(true);
  coverage.look(view(-74, 41, 4), scaleOf(9.7));
  expect(coverage.isFar).toBe(true);
  coverage.look(view(-74, 41, 4), scaleOf(10));
  expect(coverage.isFar).toBe(false);
  coverage.look(view(-74, 41, 4), scaleOf(9.7));
  expect(coverage.isFar).toBe(false);
});
