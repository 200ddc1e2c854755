// What the rest of the page asks of a map, whichever one there is.

import type { Camera } from '../core/camera';
import type { LngLat } from '../core/mercator';

export interface Padding {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

export interface ViewEvents {
  /** The map has just painted: paint over it now, so that both move together. */
  painted(): void;
  /** The user took the map in hand. */
  panned(): void;
  zoomed(zoom: number): void;
  /** A click at pixels from the upper left. */
  picked(x: number, y: number): void;
  /** The pointer is at a place, or has left the map. */
  hovered(at: { x: number; y: number } | undefined): void;
  /** Part of the map couldn't be loaded. */
  failed(reason: string): void;
}

export interface View {
  camera(): Camera;
  /** The camera has moved and the map has yet to paint it; `painted` follows. */
  isBehind(): boolean;
  /** Everything in view has been fetched and painted. */
  isComplete(): boolean;
  /** A gesture or a flight has the camera: leave the centre alone. */
  isBusy(): boolean;
  zoom(): number;
  zoomBy(steps: number): void;
  /** Shows the whole map. */
  fit(fly: boolean): void;
  /** Flies, or jumps where motion is reduced. */
  flyTo(place: LngLat, zoom?: number): void;
  /** At once; for following, frame by frame. */
  centre(place: LngLat): void;
  /** Zooming keeps the centre, not the pointer's place. */
  holdCentre(hold: boolean): void;
  setPadding(padding: Padding): void;
  setDark(dark: boolean): void;
}
