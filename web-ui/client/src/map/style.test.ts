import { expect, test } from 'vitest';
import { baseStyle } from './style';

const fonts = { noto_sans_regular: 'http://page/a.woff2', noto_sans_bold: 'http://page/b.woff2' };
const styles = [false, true].map((dark) =>
  baseStyle({ dark, tiles: 'http://page/tiles.json', fonts, bounds: [-74, 40, -73, 41], textScale: 1 }),
);

test('nothing comes from another host', () => {
  for (const style of styles) {
    const { sources, layers, 'font-faces': faces } = style;
    const hosts = JSON.stringify({ sources, layers, faces }).match(/https?:\/\/[^/"]+/g);
    expect(new Set(hosts)).toEqual(new Set(['http://page']));
    expect([style.glyphs, style.sprite]).toEqual([undefined, undefined]);
  }
});

test('every font has its face, and nothing wants a symbol that isn’t there', () => {
  for (const style of styles) {
    for (const layer of style.layers) {
      const layout = (layer.layout ?? {}) as Record<string, unknown>;
      for (const font of (layout['text-font'] as string[] | undefined) ?? []) {
        expect(Object.keys(fonts), layer.id).toContain(font);
      }
      expect(layout['icon-image'], layer.id).toBeUndefined();
      expect((layer.paint as Record<string, unknown>)?.['fill-pattern'], layer.id).toBeUndefined();
    }
  }
});

test('the map ends over the streets and under the names', () => {
  for (const { layers } of styles) {
    const place = (id: string) => layers.findIndex((layer) => layer.id === id);
    expect(place('street-primary')).toBeGreaterThan(0);
    expect(place('edge-beyond')).toBeGreaterThan(place('street-primary'));
    expect(place('edge-beyond')).toBeLessThan(place('label-street-primary'));
  }
});

test('light and dark differ', () => {
  expect(styles[0]!.layers.length).toBe(styles[1]!.layers.length);
  expect(JSON.stringify(styles[0])).not.toBe(JSON.stringify(styles[1]));
});
