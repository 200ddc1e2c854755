// Web Mercator: longitude and latitude in degrees, x and y in [0, 1] with y down from the north.

export interface LngLat {
  lng: number;
  lat: number;
}

const EARTH_CIRCUMFERENCE_M = 40_075_016.686;

export function mercatorX(lng: number): number {
  return (lng + 180) / 360;
}

export function mercatorY(lat: number): number {
  const sine = Math.sin((lat * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export function lngOf(x: number): number {
  return x * 360 - 180;
}

export function latOf(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
}

/** Metres on the ground for one unit of mercator at `y`. */
export function metresPerUnit(y: number): number {
  return EARTH_CIRCUMFERENCE_M * Math.cos((latOf(y) * Math.PI) / 180);
}
