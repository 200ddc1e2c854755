import { expect, test } from 'vitest';
import { Companies, rgb } from './companies';

test('a company keeps its number, and takes colour and shape from positions', () => {
  const companies = new Companies();
  const first = companies.learn('Meridian Taxi');
  const second = companies.learn('Harbor Cabs', '#FF0000', 'diamond');
  expect([first.index, second.index]).toEqual([0, 1]);
  expect(second).toMatchObject({ color: '#ff0000', shape: 'diamond' });
  const version = companies.version;
  expect(companies.learn('Meridian Taxi', '#2f6fde', 'square')).toBe(first);
  expect(first).toMatchObject({ color: '#2f6fde', shape: 'square' });
  expect(companies.version).toBe(version + 1);
});

test('a colour or shape that is none keeps a stand-in', () => {
  const companies = new Companies();
  const company = companies.learn('Odd', 'red; background: url(x)', 'star');
  expect(company.color).toMatch(/^#[0-9a-f]{6}$/);
  expect(company.shape).toBe('circle');
});

test('rgb', () => {
  expect(rgb('#2f6fde')).toEqual([0x2f, 0x6f, 0xde]);
});
