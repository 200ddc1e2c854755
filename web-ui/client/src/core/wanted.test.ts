import { expect, test } from 'vitest';
import { scaleOf } from './camera';
import { Coverage } from './coverage';
import { difference, wanted } from './wanted';

const map = { south: 40, west: -75, north: 42, east: -73 };
const middle = { south: 40.745, west: -73.99, north: 40.75, east: -73.98 };
const below = (filters: ReadonlyMap<string, number>, family: string) =>
  [...filters.keys()].filter((filter) => filter.startsWith(`fleet/${family}/`));

test('frames: the cells in view, and the followed vehicle’s own positions', () => {
  const coverage = new Coverage(map);
  coverage.look(middle, scaleOf(14));
  const filters = wanted('fleet/', 'frames', coverage, 'T1A23');
  expect(below(filters, 'map')).toContain('fleet/map/dr5ru');
  expect(below(filters, 'vehicle_updates')).toEqual(['fleet/vehicle_updates/T1A23']);
  expect(below(filters, 'company_passengers')).toEqual(['fleet/company_passengers/+']);
  expect(below(filters, 'cell_stats')).toEqual([]);
});

test('far out: counts, by name or all', () => {
  const coverage = new Coverage(map);
  coverage.look(map, scaleOf(14));
  expect(below(wanted('fleet/', 'frames', coverage, undefined), 'map')).toEqual([]);
  expect(below(wanted('fleet/', 'frames', coverage, undefined), 'cell_stats')).toContain(
    'fleet/cell_stats/dr5r',
  );
  const country = new Coverage({ south: 36, west: 6, north: 48, east: 19 });
  country.look({ south: 35, west: 0, north: 50, east: 25 }, scaleOf(14));
  expect(below(wanted('fleet/', 'frames', country, undefined), 'cell_stats')).toEqual(['fleet/cell_stats/+']);
});

test('json: every position', () => {
  const coverage = new Coverage(map);
  coverage.look(middle, scaleOf(14));
  const filters = wanted('fleet/', 'json', coverage, 'T1A23');
  expect(below(filters, 'map')).toEqual([]);
  expect(below(filters, 'vehicle_updates')).toEqual(['fleet/vehicle_updates/+']);
});

test('only what differs is asked for', () => {
  const from = new Map([['a', 0] as const, ['b', 0] as const, ['c', 1] as const]);
  const to = new Map([['b', 0] as const, ['c', 0] as const, ['d', 1] as const]);
  expect(difference(from, to)).toEqual({
    add: [
      ['c', 0],
      ['d', 1],
    ],
    drop: ['a'],
  });
});
