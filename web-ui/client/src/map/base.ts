// The base map: MapLibre, flat, with everything from this server.

import {
  LngLat,
  Map as MapLibre,
  type MapMouseEvent,
  type StyleSpecification,
  setWorkerUrl,
} from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { Config } from '../config';
import { type Camera, scaleOf } from '../core/camera';
import { mercatorX, mercatorY, type LngLat as Place } from '../core/mercator';
import { calm, interfaceScale } from '../media';
import { fontFaces } from './fonts';
import { baseStyle } from './style';
import type { Padding, View, ViewEvents } from './view';

/** Share of the map's extent by which the centre may leave it. */
const MARGIN = 0.1;
const FLIGHT_MS = 900;
/** The closest that "the whole map" comes: a village extract shouldn't fill a wall with one crossing. */
const FIT_ZOOM_MAX = 16;

setWorkerUrl(workerUrl);

export class BaseMap implements View {
  #map: MapLibre;
  #config: Config['map'];
  #events: ViewEvents;
  #behind = true;
  #flight: { center: Place; zoom?: number } | undefined;
  #padding: Padding = { top: 0, right: 0, bottom: 0, left: 0 };

  /** Throws where there is no WebGL2. */
  constructor(container: HTMLElement, config: Config['map'], dark: boolean, events: ViewEvents) {
    this.#config = config;
    this.#events = events;
    const [west, south, east, north] = config.bounds;
    const marginX = (east - west) * MARGIN;
    const marginY = (north - south) * MARGIN;
    this.#map = new MapLibre({
      container,
      style: style(dark, config.bounds),
      center: config.center,
      zoom: config.zoom,
      minZoom: config.minZoom,
      maxZoom: config.maxZoom,
      // Not `maxBounds`: that one forbids to see a tall city whole on a wide screen.
      transformConstrain: ({ lng, lat }, zoom) => ({
        center: new LngLat(
          clamp(lng, west - marginX, east + marginX),
          clamp(lat, south - marginY, north + marginY),
        ),
        zoom: clamp(zoom ?? config.zoom, config.minZoom, config.maxZoom),
      }),
      renderWorldCopies: false,
      maxPitch: 0,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      pixelRatio: Math.min(2, devicePixelRatio),
      fadeDuration: calm() ? 0 : 200,
      locale: { 'Map.Title': `Map of ${config.name}` },
    });
    this.#listen();
  }

  camera(): Camera {
    const map = this.#map;
    const center = map.getCenter();
    const screen = map.project(center);
    return {
      scale: scaleOf(map.getZoom()),
      bearing: map.getBearing(),
      x: mercatorX(center.lng),
      y: mercatorY(center.lat),
      screenX: screen.x,
      screenY: screen.y,
    };
  }

  isBehind(): boolean {
    return this.#behind;
  }

  isComplete(): boolean {
    return this.#map.loaded() && this.#map.areTilesLoaded() && !this.#map.isMoving();
  }

  isBusy(): boolean {
    return this.#flight !== undefined || this.#map.isZooming();
  }

  zoom(): number {
    return this.#map.getZoom();
  }

  zoomBy(steps: number): void {
    this.#map.easeTo({ zoom: this.#map.getZoom() + steps, duration: calm() ? 0 : 250 });
  }

  fit(fly: boolean): void {
    const [west, south, east, north] = this.#config.bounds;
    this.#map.fitBounds([west, south, east, north], {
      padding: 24,
      bearing: 0,
      maxZoom: FIT_ZOOM_MAX,
      animate: fly && !calm(),
      duration: FLIGHT_MS,
    });
  }

  flyTo(place: Place, zoom?: number): void {
    const flight = { center: place, ...(zoom === undefined ? {} : { zoom }) };
    this.#flight = flight;
    const landed = () => {
      if (this.#flight === flight) this.#flight = undefined;
    };
    this.#map.easeTo({ ...flight, padding: this.#padding, duration: calm() ? 0 : FLIGHT_MS });
    if (this.#map.isMoving()) this.#map.once('moveend', landed);
    else landed();
  }

  centre(place: Place): void {
    this.#map.setCenter(place);
  }

  holdCentre(hold: boolean): void {
    const options = hold ? { around: 'center' as const } : undefined;
    for (const handler of [this.#map.scrollZoom, this.#map.touchZoomRotate]) {
      handler.disable();
      handler.enable(options);
    }
  }

  setPadding(padding: Padding): void {
    const same = (Object.keys(padding) as (keyof Padding)[]).every(
      (side) => padding[side] === this.#padding[side],
    );
    if (same) return;
    this.#padding = padding;
    // A new padding ends a flight halfway: take off again, with the new one.
    if (this.#flight) this.flyTo(this.#flight.center, this.#flight.zoom);
    else this.#map.setPadding(padding);
  }

  setDark(dark: boolean): void {
    this.#map.setStyle(style(dark, this.#config.bounds), { diff: false });
  }

  #listen(): void {
    const map = this.#map;
    const events = this.#events;
    map.on('move', () => {
      this.#behind = true;
    });
    map.on('resize', () => {
      this.#behind = true;
    });
    map.on('render', () => {
      this.#behind = false;
      events.painted();
    });
    map.on('dragstart', () => events.panned());
    map.on('zoomend', () => events.zoomed(map.getZoom()));
    map.on('click', (event: MapMouseEvent) => events.picked(event.point.x, event.point.y));
    map.on('mousemove', (event: MapMouseEvent) => events.hovered(event.point));
    map.on('mouseout', () => events.hovered(undefined));
    map.on('error', (event) => events.failed(event.error?.message ?? 'unknown'));
    const canvas = map.getCanvas();
    canvas.addEventListener('keydown', (event) => {
      if (event.key.startsWith('Arrow')) events.panned();
    });
  }
}

function style(dark: boolean, bounds: Config['map']['bounds']): StyleSpecification {
  const tiles = new URL('/tiles.json', location.origin).href;
  return baseStyle({ dark, tiles, bounds, fonts: fontFaces(), textScale: interfaceScale() });
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
