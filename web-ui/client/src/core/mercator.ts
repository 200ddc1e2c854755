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

/** Metres between two places, along the ground. */
export function distanceM(a: LngLat, b: LngLat): number {
  const rad = Math.PI / 180;
  const dLat = (b.lat - a.lat) * rad;
  const dLng = (b.lng - a.lng) * rad;
  const h = Math.sin(dLat / 2) ** 2 + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(dLng / 2) ** 2;
  return (EARTH_CIRCUMFERENCE_M / Math.PI) * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Direction from one place to another: degrees clockwise from true north, [0, 360). */
export function bearingTo(a: LngLat, b: LngLat): number {
  const dx = mercatorX(b.lng) - mercatorX(a.lng);
  const dy = mercatorY(b.lat) - mercatorY(a.lat);
  return ((Math.atan2(dx, -dy) * 180) / Math.PI + 360) % 360;
}
