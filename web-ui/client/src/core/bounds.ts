// Parts of the map as rectangles of degrees: what a camera sees, widened or cut.

import { type Camera, toWorld } from './camera';
import type { Bounds } from './geohash';
import { latOf, lngOf } from './mercator';

/** What a camera sees of the world on a screen of so many pixels; of a turned one, the rectangle around it. */
export function boundsOf(camera: Camera, width: number, height: number): Bounds {
  const corners = [
    toWorld(camera, 0, 0),
    toWorld(camera, width, 0),
    toWorld(camera, 0, height),
    toWorld(camera, width, height),
  ];
  const xs = corners.map(({ x }) => x);
  const ys = corners.map(({ y }) => y);
  return {
    west: lngOf(Math.min(...xs)),
    east: lngOf(Math.max(...xs)),
    // y goes down from the north.
    south: latOf(Math.max(...ys)),
    north: latOf(Math.min(...ys)),
  };
}

/** Wider by a share of its own size on each side. */
export function widened({ south, west, north, east }: Bounds, share: number): Bounds {
  const x = (east - west) * share;
  const y = (north - south) * share;
  return { south: south - y, west: west - x, north: north + y, east: east + x };
}

/** What both have in common; nothing where they don't meet. */
export function common(a: Bounds, b: Bounds): Bounds | undefined {
  const both = {
    south: Math.max(a.south, b.south),
    west: Math.max(a.west, b.west),
    north: Math.min(a.north, b.north),
    east: Math.min(a.east, b.east),
  };
  return both.south <= both.north && both.west <= both.east ? both : undefined;
}
