// The canvas of the vehicles over the map, and the loop that paints it: only when something has changed.

import { type Camera, toWorld, vehicleRadius } from '../core/camera';
import type { Companies } from '../core/companies';
import { Meter } from '../core/meter';
import { COASTS_FOR_S, STRIDE, TO_TIME } from '../core/motion';
import type { Store } from '../core/store';
import { calm, interfaceScale } from '../media';
import { CanvasPainter } from './canvas2d';
import type { View } from './view';
import { type Painter, WebGlPainter } from './webgl';

/** A finger is wider than a vehicle. */
const PICK_REACH_PX = 10;
/** Far beyond any arrival: every vehicle is drawn where it will be, which is how motion is reduced. */
const AT_THE_END_S = 3_600;

export class Overlay {
  /** Called once per frame, before painting, with the page time in ms. */
  beforeFrame: (nowMs: number) => void = () => {};
  /** Called with each picture, to lay other things where the camera is. */
  afterPaint: (camera: Camera) => void = () => {};
  selected: string | undefined;
  dark = false;
  readonly usesWebGl: boolean;

  #canvas: HTMLCanvasElement;
  #view: View;
  #store: Store;
  #painter: Painter;
  #frames = new Meter();
  #painted = '';
  #size = 1;

  constructor(canvas: HTMLCanvasElement, view: View, store: Store, companies: Companies) {
    this.#canvas = canvas;
    this.#view = view;
    this.#store = store;
    const webgl = WebGlPainter.create(canvas, store, companies);
    this.usesWebGl = webgl !== undefined;
    this.#painter = webgl ?? new CanvasPainter(canvas, store, companies);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  start(): void {
    const frame = () => {
      requestAnimationFrame(frame);
      this.beforeFrame(performance.now());
      // When the map is about to paint, it calls `paint` itself, in the same frame.
      if (!this.#view.isBehind()) this.#paintIfChanged();
    };
    requestAnimationFrame(frame);
  }

  paint(): void {
    const nowMs = performance.now();
    const camera = this.#view.camera();
    this.#frames.add(nowMs);
    this.#painted = this.#state(camera);
    this.#painter.paint({
      camera,
      time: this.#time(nowMs),
      radius: this.#radius(camera),
      selected: this.selected === undefined ? undefined : this.#store.slotOf(this.selected),
      dark: this.dark,
      coasts: !calm(),
    });
    this.afterPaint(camera);
  }

  /** Frames painted per second. */
  fps(): number {
    return this.#frames.perSecond(performance.now());
  }

  /** The plate drawn at a place on the screen. */
  pick(x: number, y: number): string | undefined {
    const camera = this.#view.camera();
    const world = toWorld(camera, x, y);
    const reach = (this.#radius(camera) + PICK_REACH_PX) / camera.scale;
    const { originX, originY } = this.#store;
    const slot = this.#store.nearest(world.x - originX, world.y - originY, reach, performance.now());
    return slot === undefined ? undefined : this.#store.plateAt(slot);
  }

  #paintIfChanged(): void {
    if (this.#moving() || this.#painted !== this.#state(this.#view.camera())) this.paint();
  }

  /** Whether any vehicle is on its way. */
  #moving(): boolean {
    if (calm()) return false;
    const now = this.#store.seconds(performance.now());
    const { motion, slots } = this.#store;
    for (let at = TO_TIME; at < slots * STRIDE; at += STRIDE) {
      if (motion[at]! > now - COASTS_FOR_S) return true;
    }
    return false;
  }

  #state(camera: Camera): string {
    const { width, height } = this.#canvas;
    return [...Object.values(camera), this.#store.version, this.selected, this.dark, width, height].join();
  }

  #radius(camera: Camera): number {
    return vehicleRadius(camera.scale) * this.#size;
  }

  #time(nowMs: number): number {
    return this.#store.seconds(nowMs) + (calm() ? AT_THE_END_S : 0);
  }

  #resize(): void {
    this.#size = interfaceScale();
    const ratio = Math.min(2, devicePixelRatio);
    this.#canvas.width = Math.max(1, Math.round(this.#canvas.clientWidth * ratio));
    this.#canvas.height = Math.max(1, Math.round(this.#canvas.clientHeight * ratio));
    this.#painted = '';
  }
}
