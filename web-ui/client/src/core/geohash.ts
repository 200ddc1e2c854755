// Geohashes: names of map cells. Bits of longitude and latitude take turns, five to a character.

/** South-west and north-east corner of a part of the map. */
export interface Bounds {
  south: number;
  west: number;
  north: number;
  east: number;
}

const BASE_32 = '0123456789bcdefghjkmnpqrstuvwxyz';

/** The corners of a cell; nothing for what is no geohash. */
export function cellBounds(geohash: string): Bounds | undefined {
  if (geohash === '') return undefined;
  const lng: [number, number] = [-180, 180];
  const lat: [number, number] = [-90, 90];
  let isLng = true;
  for (const char of geohash) {
    const value = BASE_32.indexOf(char);
    if (value < 0) return undefined;
    for (let bit = 16; bit > 0; bit >>= 1) {
      const range = isLng ? lng : lat;
      const middle = (range[0] + range[1]) / 2;
      range[value & bit ? 0 : 1] = middle;
      isLng = !isLng;
    }
  }
  return { south: lat[0], west: lng[0], north: lat[1], east: lng[1] };
}

/** The cell of `length` characters that holds a place. */
export function cellAt(lng: number, lat: number, length: number): string {
  const { columns, rows } = gridOf(length);
  return nameOf(columnOf(lng, columns), rowOf(lat, rows), length);
}

/** How many cells of `length` characters touch those bounds. */
export function countCells(bounds: Bounds, length: number): number {
  const { west, east, south, north } = ranges(bounds, length);
  return (east - west + 1) * (north - south + 1);
}

/** The cells of `length` characters that touch those bounds, those nearest the middle first, at most `limit`. */
export function cellsIn(bounds: Bounds, length: number, limit: number): string[] {
  const { west, east, south, north } = ranges(bounds, length);
  const middleX = (west + east) / 2;
  const middleY = (south + north) / 2;
  const found: { x: number; y: number; away: number }[] = [];
  for (let x = west; x <= east; x++) {
    for (let y = south; y <= north; y++) found.push({ x, y, away: Math.hypot(x - middleX, y - middleY) });
  }
  found.sort((a, b) => a.away - b.away);
  return found.slice(0, limit).map(({ x, y }) => nameOf(x, y, length));
}

function ranges(bounds: Bounds, length: number) {
  const { columns, rows } = gridOf(length);
  return {
    west: columnOf(bounds.west, columns),
    east: columnOf(bounds.east, columns),
    south: rowOf(bounds.south, rows),
    north: rowOf(bounds.north, rows),
  };
}

/** How wide a cell of `length` characters is, as a share of the world: longitude's, and that of mercator's x. */
export function cellWidth(length: number): number {
  return 1 / gridOf(length).columns;
}

function gridOf(length: number): { columns: number; rows: number } {
  return { columns: 2 ** Math.ceil((5 * length) / 2), rows: 2 ** Math.floor((5 * length) / 2) };
}

function columnOf(lng: number, columns: number): number {
  return clamp(Math.floor(((lng + 180) / 360) * columns), columns);
}

function rowOf(lat: number, rows: number): number {
  return clamp(Math.floor(((lat + 90) / 180) * rows), rows);
}

function clamp(index: number, size: number): number {
  return Math.min(size - 1, Math.max(0, index));
}

function nameOf(column: number, row: number, length: number): string {
  let xBit = 2 ** (Math.ceil((5 * length) / 2) - 1);
  let yBit = 2 ** (Math.floor((5 * length) / 2) - 1);
  let isX = true;
  let name = '';
  for (let n = 0; n < length; n++) {
    let value = 0;
    for (let bit = 0; bit < 5; bit++) {
      value = value * 2 + ((isX ? column & xBit : row & yBit) ? 1 : 0);
      if (isX) xBit /= 2;
      else yBit /= 2;
      isX = !isX;
    }
    name += BASE_32[value];
  }
  return name;
}
