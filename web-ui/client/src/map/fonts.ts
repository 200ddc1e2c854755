// Noto Sans from the bundle, split by script as the web fonts are, under the names that the style uses.

import cyrillic from '@fontsource/noto-sans/files/noto-sans-cyrillic-400-normal.woff2?url';
import cyrillicBold from '@fontsource/noto-sans/files/noto-sans-cyrillic-700-normal.woff2?url';
import greek from '@fontsource/noto-sans/files/noto-sans-greek-400-normal.woff2?url';
import greekBold from '@fontsource/noto-sans/files/noto-sans-greek-700-normal.woff2?url';
import latin from '@fontsource/noto-sans/files/noto-sans-latin-400-normal.woff2?url';
import latinBold from '@fontsource/noto-sans/files/noto-sans-latin-700-normal.woff2?url';
import latinExt from '@fontsource/noto-sans/files/noto-sans-latin-ext-400-normal.woff2?url';
import latinExtBold from '@fontsource/noto-sans/files/noto-sans-latin-ext-700-normal.woff2?url';
import ranges from '@fontsource/noto-sans/unicode.json';
import type { FontFacesSpecification } from 'maplibre-gl';

export function fontFaces(): FontFacesSpecification {
  return {
    noto_sans_regular: faces(latin, latinExt, greek, cyrillic),
    noto_sans_bold: faces(latinBold, latinExtBold, greekBold, cyrillicBold),
  };
}

function faces(latin: string, latinExt: string, greek: string, cyrillic: string) {
  const face = (path: string, range: string) => ({
    url: new URL(path, location.origin).href,
    'unicode-range': range.split(','),
  });
  return [
    face(latin, ranges.latin),
    face(latinExt, ranges['latin-ext']),
    face(greek, ranges.greek),
    face(cyrillic, ranges.cyrillic),
  ];
}
