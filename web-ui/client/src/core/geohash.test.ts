import { expect, test } from 'vitest';
import { cellAt, cellBounds, cellsIn, countCells } from './geohash';

test.each([
  [-73.9855, 40.758, 5, 'dr5ru'],
  [-73.9855, 40.758, 4, 'dr5r'],
  [-73.9855, 40.758, 6, 'dr5ru7'],
  [10.40744, 57.64911, 6, 'u4pruy'],
  [180, 90, 3, 'zzz'],
  [-180, -90, 5, '00000'],
])('%d %d lies in the cell of %d characters %s', (lng, lat, length, cell) => {
  expect(cellAt(lng, lat, length)).toBe(cell);
});

test('a cell’s middle lies in it', () => {
  for (const cell of ['dr5ru', 'sr2y', '7zzzzz', 'b']) {
    const { south, west, north, east } = cellBounds(cell)!;
    expect(cellAt((west + east) / 2, (south + north) / 2, cell.length)).toBe(cell);
  }
});

test('the cells of a part of the map, from its middle on', () => {
  const { south, west, north, east } = cellBounds('dr5ru')!;
  const d = 1e-6;
  const inside = { south: south + d, west: west + d, north: north - d, east: east - d };
  expect(cellsIn(inside, 5, 9)).toEqual(['dr5ru']);
  const around = { south: south - d, west: west - d, north: north + d, east: east + d };
  expect(countCells(around, 5)).toBe(9);
  const cells = cellsIn(around, 5, 99);
  expect(new Set(cells).size).toBe(9);
  expect(cells[0]).toBe('dr5ru');
  expect(cellsIn(around, 5, 1)).toEqual(['dr5ru']);
});
