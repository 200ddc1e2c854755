// The golden messages, shared with the Rust tests. For tests only.

import { readFileSync } from 'node:fs';

export function sample(name: string): Record<string, unknown> {
  const file = new URL(`../../../../crates/fleet/samples/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8'));
}

export function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
}

/** A binary one, written as hexadecimal digits. */
export function sampleBytes(name: string): Uint8Array {
  const file = new URL(`../../../../crates/fleet/samples/${name}.hex`, import.meta.url);
  const digits = readFileSync(file, 'utf8').replace(/\s/g, '');
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
