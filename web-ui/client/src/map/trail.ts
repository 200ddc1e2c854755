// The way the followed vehicle has come and the place it goes to, in SVG over the map: inside the map's own canvas each
// step would paint the whole base map anew.

import { type Camera, rotation, scaleOf, toScreen } from '../core/camera';
import { type LngLat, mercatorX, mercatorY } from '../core/mercator';

export interface Trail {
  /** Mercator offsets from the origin, oldest first. */
  points: [number, number][];
  /** Unknown until the vehicle itself says so. */
  destination: LngLat | undefined;
  color: string;
}

/** The path is written in pixels of this zoom, and scaled from there. */
const PATH_SCALE = scaleOf(16);
const SVG = 'http://www.w3.org/2000/svg';

export class TrailLayer {
  readonly element = document.createElementNS(SVG, 'svg');
  #path = document.createElementNS(SVG, 'path');
  #destination = document.createElementNS(SVG, 'circle');
  #originX: number;
  #originY: number;
  #trail: Trail | undefined;

  constructor(originX: number, originY: number) {
    this.#originX = originX;
    this.#originY = originY;
    this.element.classList.add('trail');
    this.element.setAttribute('aria-hidden', 'true');
    this.element.toggleAttribute('hidden', true);
    this.element.append(this.#path, this.#destination);
  }

  show(trail: Trail | undefined): void {
    this.#trail = trail;
    this.element.toggleAttribute('hidden', trail === undefined);
    if (!trail) return;
    const points = trail.points.map(
      ([x, y]) => `${(x * PATH_SCALE).toFixed(1)} ${(y * PATH_SCALE).toFixed(1)}`,
    );
    this.#path.setAttribute('d', points.length > 0 ? `M${points.join('L')}` : '');
    this.#path.setAttribute('stroke', trail.color);
    this.#destination.setAttribute('stroke', trail.color);
    this.#destination.toggleAttribute('hidden', trail.destination === undefined);
  }

  /** Lays it where the camera is now. */
  paint(camera: Camera): void {
    if (!this.#trail) return;
    const { cos, sin } = rotation(camera);
    const k = camera.scale / PATH_SCALE;
    const origin = toScreen(camera, this.#originX, this.#originY);
    const matrix = [cos * k, -sin * k, sin * k, cos * k, origin.x, origin.y];
    this.#path.setAttribute('transform', `matrix(${matrix.join(' ')})`);
    if (!this.#trail.destination) return;
    const { lng, lat } = this.#trail.destination;
    const end = toScreen(camera, mercatorX(lng), mercatorY(lat));
    this.#destination.setAttribute('cx', end.x.toFixed(1));
    this.#destination.setAttribute('cy', end.y.toFixed(1));
  }
}
