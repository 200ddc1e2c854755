import { expect, test } from 'vitest';
import { Totals } from './totals';

const total = (company: string, passengers: number, vehicles = 1, meanSpeed = 10) => ({
  company,
  vehicles,
  hired: 0,
  passengers,
  meanSpeed,
  updateTimestamp: 0,
});

test('sorted by what is measured, equals by name', () => {
  const totals = new Totals();
  for (const t of [total('B', 3), total('C', 7), total('A', 3)]) totals.set(t);
  expect(totals.sorted('passengers').map((t) => t.company)).toEqual(['C', 'A', 'B']);
});

test('the newest replaces, an empty message removes', () => {
  const totals = new Totals();
  totals.set(total('A', 3));
  totals.set(total('A', 5));
  expect(totals.sum().passengers).toBe(5);
  totals.remove('A');
  expect([totals.size, totals.sum().passengers]).toEqual([0, 0]);
});

test('the mean speed counts vehicles, not companies', () => {
  const totals = new Totals();
  totals.set(total('A', 0, 1, 10));
  totals.set(total('B', 0, 3, 50));
  expect(totals.sum().meanSpeed).toBe(40);
});
