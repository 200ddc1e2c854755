// The map where there is no WebGL2: an empty sheet to drag and zoom, so that the vehicles are still seen.

import type { Config } from '../config';
import { type Camera, scaleOf, toWorld } from '../core/camera';
import { type LngLat, mercatorX, mercatorY } from '../core/mercator';
import type { Padding, View, ViewEvents } from './view';

export class PlainMap implements View {
  #element: HTMLElement;
  #config: Config['map'];
  #events: ViewEvents;
  #zoom: number;
  #x: number;
  #y: number;
  #padding: Padding = { top: 0, right: 0, bottom: 0, left: 0 };

  constructor(element: HTMLElement, config: Config['map'], events: ViewEvents) {
    this.#element = element;
    this.#config = config;
    this.#events = events;
    this.#zoom = config.zoom;
    this.#x = mercatorX(config.center[0]);
    this.#y = mercatorY(config.center[1]);
    this.#listen();
  }

  camera(): Camera {
    const { clientWidth, clientHeight } = this.#element;
    const { left, right, top, bottom } = this.#padding;
    return {
      scale: scaleOf(this.#zoom),
      bearing: 0,
      x: this.#x,
      y: this.#y,
      screenX: (clientWidth + left - right) / 2,
      screenY: (clientHeight + top - bottom) / 2,
    };
  }

  isBehind(): boolean {
    return false;
  }

  isComplete(): boolean {
    return true;
  }

  isBusy(): boolean {
    return false;
  }

  zoom(): number {
    return this.#zoom;
  }

  zoomBy(steps: number): void {
    this.#zoom = Math.min(this.#config.maxZoom, Math.max(this.#config.minZoom, this.#zoom + steps));
    this.#events.zoomed(this.#zoom);
  }

  fit(): void {
    const [west, south, east, north] = this.#config.bounds;
    const { left, right, top, bottom } = this.#padding;
    const width = this.#element.clientWidth - left - right;
    const height = this.#element.clientHeight - top - bottom;
    const scale = Math.min(
      width / (mercatorX(east) - mercatorX(west)),
      height / (mercatorY(south) - mercatorY(north)),
    );
    this.#zoom = Math.max(this.#config.minZoom, Math.log2(scale / scaleOf(0)));
    this.centre({ lng: (west + east) / 2, lat: (south + north) / 2 });
  }

  flyTo(place: LngLat, zoom?: number): void {
    this.#zoom = zoom ?? this.#zoom;
    this.centre(place);
  }

  centre(place: LngLat): void {
    this.#x = mercatorX(place.lng);
    this.#y = mercatorY(place.lat);
  }

  holdCentre(): void {}

  setPadding(padding: Padding): void {
    this.#padding = padding;
  }

  setDark(): void {}

  #listen(): void {
    const element = this.#element;
    let held: { x: number; y: number; moved: boolean } | undefined;
    element.addEventListener('pointerdown', (event) => {
      element.setPointerCapture(event.pointerId);
      held = { x: event.offsetX, y: event.offsetY, moved: false };
    });
    element.addEventListener('pointermove', (event) => {
      if (!held) {
        this.#events.hovered({ x: event.offsetX, y: event.offsetY });
        return;
      }
      const scale = scaleOf(this.#zoom);
      const dx = event.offsetX - held.x;
      const dy = event.offsetY - held.y;
      if (!held.moved && Math.hypot(dx, dy) < 4) return;
      if (!held.moved) this.#events.panned();
      this.#x -= dx / scale;
      this.#y -= dy / scale;
      held = { x: event.offsetX, y: event.offsetY, moved: true };
    });
    element.addEventListener('pointerup', (event) => {
      if (held && !held.moved) this.#events.picked(event.offsetX, event.offsetY);
      held = undefined;
    });
    element.addEventListener('pointerleave', () => this.#events.hovered(undefined));
    element.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const before = toWorld(this.camera(), event.offsetX, event.offsetY);
        this.zoomBy(-event.deltaY / 300);
        const after = toWorld(this.camera(), event.offsetX, event.offsetY);
        this.#x += before.x - after.x;
        this.#y += before.y - after.y;
      },
      { passive: false },
    );
  }
}
