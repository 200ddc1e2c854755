import { expect, test } from 'vitest';
import { backoffMs } from './backoff';

test('waits grow, stay bounded and are spread', () => {
  expect([1, 2, 3, 4, 5, 6, 60].map((n) => backoffMs(n, 1))).toEqual([
    500, 1000, 2000, 4000, 8000, 15000, 15000,
  ]);
  expect(backoffMs(3, 0)).toBe(1000);
  expect(backoffMs(0, 0)).toBe(250);
});
