import { beforeEach, expect, test } from 'vitest';
import { MISSING_MS, Presence } from './presence';

let presence: Presence;
beforeEach(() => {
  presence = new Presence();
});
const at = (timestamp: number) => [{ plate: 'A', timestamp }];

test('who is in no frame any more is gone, but not at once', () => {
  presence.take('a', at(1), 0);
  presence.take('a', [], 500);
  expect(presence.sweep(500 + MISSING_MS - 1)).toEqual([]);
  presence.take('a', [], 1000);
  expect(presence.sweep(500 + MISSING_MS)).toEqual(['A']);
  expect(presence.size).toBe(0);
});

test('in neither frame for a moment: it stays', () => {
  presence.take('a', at(1), 0);
  presence.take('a', [], 500);
  presence.take('b', at(2), 1000);
  expect(presence.sweep(100_000)).toEqual([]);
  expect(presence.drop('a')).toEqual([]);
  expect(presence.drop('b')).toEqual(['A']);
});

test('in both frames for a moment: the newer one is right', () => {
  presence.take('a', at(1), 0);
  presence.take('b', at(2), 100);
  presence.take('a', at(1), 200);
  presence.take('a', [], 700);
  expect(presence.sweep(100_000)).toEqual([]);
  expect(presence.drop('b')).toEqual(['A']);
});

test('back in its own cell’s frame, it was never away', () => {
  presence.take('a', at(1), 0);
  presence.take('a', [], 500);
  presence.take('a', at(3), 1000);
  expect(presence.sweep(100_000)).toEqual([]);
});
