// The companies' shapes as SVG paths: radius 1, the front up. The shader in `webgl.ts` has the same as distances.

import type { Shape } from '../core/companies';

const OUTLINES: Record<Shape, string> = {
  circle: 'M0-1.62 L.42-.76 A.86.86 0 1 1-.42-.76 Z',
  square: 'M0-1.62 L.4-.78 H.78 V.78 H-.78 V-.78 H-.4 Z',
  triangle: 'M0-1.42 L1.05.86 H-1.05 Z',
  diamond: 'M0-1.62 L.36-.76 1.12 0 0 1.12-1.12 0-.36-.76 Z',
};

export function outlineOf(shape: Shape): string {
  return OUTLINES[shape];
}

const SVG = 'http://www.w3.org/2000/svg';

/** A company's sign for lists. Decoration: its name stands beside it. */
export function sign(shape: Shape, color: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '-1.7 -1.9 3.4 3.4');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('sign');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', outlineOf(shape));
  path.setAttribute('fill', color);
  path.style.setProperty('--color', color);
  svg.append(path);
  return svg;
}
