import { expect, test } from 'vitest';
import { readAddress, writeAddress } from './address';

test('what is written is read back', () => {
  const text = writeAddress({ plate: 'T1A23', zoom: 15.54 });
  expect(text).toBe('#plate=T1A23&zoom=15.5');
  expect(readAddress(text)).toEqual({ plate: 'T1A23', zoom: 15.5 });
  expect(writeAddress({ plate: undefined, zoom: undefined })).toBe('');
});

test.each([
  ['', undefined, undefined],
  ['#plate=t1a23', 'T1A23', undefined],
  ['#plate=<b>&zoom=x', undefined, undefined],
  ['#zoom=99', undefined, undefined],
])('%s', (hash, plate, zoom) => {
  expect(readAddress(hash)).toEqual({ plate, zoom });
});
