// Where the world lies on the screen, flat and north-up or turned: one affine map, in float64.

export interface Camera {
  /** Pixels for one unit of mercator. */
  scale: number;
  /** Degrees clockwise from north that point up on the screen. */
  bearing: number;
  /** Mercator place that lies at `screenX`, `screenY`. */
  x: number;
  y: number;
  screenX: number;
  screenY: number;
}

export interface Point {
  x: number;
  y: number;
}

/** MapLibre's world at zoom 0 is one tile of so many pixels. */
const TILE_PX = 512;

export function scaleOf(zoom: number): number {
  return TILE_PX * 2 ** zoom;
}

/** Mercator place to pixels from the upper left. */
export function toScreen(camera: Camera, x: number, y: number): Point {
  const { cos, sin } = rotation(camera);
  const dx = (x - camera.x) * camera.scale;
  const dy = (y - camera.y) * camera.scale;
  return { x: camera.screenX + cos * dx + sin * dy, y: camera.screenY - sin * dx + cos * dy };
}

/** Pixels from the upper left to a mercator place. */
export function toWorld(camera: Camera, x: number, y: number): Point {
  const { cos, sin } = rotation(camera);
  const dx = (x - camera.screenX) / camera.scale;
  const dy = (y - camera.screenY) / camera.scale;
  return { x: camera.x + cos * dx - sin * dy, y: camera.y + sin * dx + cos * dy };
}

export function rotation(camera: Camera): { cos: number; sin: number } {
  const angle = (camera.bearing * Math.PI) / 180;
  return { cos: Math.cos(angle), sin: Math.sin(angle) };
}

const RADII: [zoom: number, px: number][] = [
  [6, 4],
  [10, 4.5],
  [12, 5.5],
  [14, 8],
  [16, 11],
  [18, 15],
];

/** Radius of a vehicle in pixels: small far out, so that a city stays readable, and never larger than a lane's block. */
export function vehicleRadius(scale: number): number {
  const zoom = Math.log2(scale / TILE_PX);
  const last = RADII[RADII.length - 1]!;
  for (let n = 0; n < RADII.length; n++) {
    const [to, px] = RADII[n]!;
    if (zoom > to) continue;
    const [from, before] = RADII[Math.max(0, n - 1)]!;
    return to === from ? px : before + ((px - before) * (zoom - from)) / (to - from);
  }
  return last[1];
}
