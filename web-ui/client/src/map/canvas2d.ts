// Paints the vehicles where there is no WebGL2: the same picture, by hand.

import { toScreen } from '../core/camera';
import type { Companies, Shape } from '../core/companies';
import { type Place, place, STRIDE } from '../core/motion';
import { LOOK_STRIDE, type Store } from '../core/store';
import { outlineOf } from './shapes';
import type { Frame, Painter } from './webgl';

export class CanvasPainter implements Painter {
  #canvas: HTMLCanvasElement;
  #context: CanvasRenderingContext2D;
  #store: Store;
  #companies: Companies;
  #paths = new Map<Shape, Path2D>();
  #place: Place = { x: 0, y: 0, bearing: 0 };

  constructor(canvas: HTMLCanvasElement, store: Store, companies: Companies) {
    const context = canvas.getContext('2d');
    if (!context) throw new Error('this browser can paint neither with WebGL2 nor on a canvas');
    this.#canvas = canvas;
    this.#context = context;
    this.#store = store;
    this.#companies = companies;
  }

  paint(frame: Frame): void {
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    for (let slot = 0; slot < this.#store.slots; slot++) this.#vehicle(slot, frame, 1);
    if (frame.selected !== undefined) this.#vehicle(frame.selected, frame, 1.3);
  }

  #vehicle(slot: number, frame: Frame, size: number): void {
    const { look, motion, originX, originY } = this.#store;
    const opacity = look[slot * LOOK_STRIDE + 1]!;
    const company = this.#companies.list[look[slot * LOOK_STRIDE]!];
    if (opacity === 0 || !company) return;
    const at = place(motion, slot * STRIDE, frame.time, this.#place, frame.coasts);
    const screen = toScreen(frame.camera, at.x + originX, at.y + originY);
    const radius = frame.radius * size;
    const width = this.#canvas.clientWidth;
    const height = this.#canvas.clientHeight;
    if (Math.abs(screen.x - width / 2) > width / 2 + radius * 2) return;
    if (Math.abs(screen.y - height / 2) > height / 2 + radius * 2) return;

    const context = this.#context;
    const ratio = this.#canvas.width / Math.max(1, width);
    const heading = at.bearing - (frame.camera.bearing * Math.PI) / 180;
    const unit = radius * ratio;
    const cos = Math.cos(heading) * unit;
    const sin = Math.sin(heading) * unit;
    context.setTransform(cos, sin, -sin, cos, screen.x * ratio, screen.y * ratio);
    context.globalAlpha = opacity / 255;
    const edge = frame.dark ? '#0d1217' : '#ffffff';
    if (size > 1) {
      context.beginPath();
      context.arc(0, 0, 2.05, 0, 2 * Math.PI);
      context.lineWidth = 0.22;
      context.strokeStyle = company.color;
      context.stroke();
    }
    const path = this.#path(company.shape);
    context.lineWidth = 0.4;
    context.lineJoin = 'round';
    context.strokeStyle = edge;
    context.stroke(path);
    context.fillStyle = company.color;
    context.fill(path);
    if (look[slot * LOOK_STRIDE + 2] === 0) {
      context.beginPath();
      context.arc(0, 0, 0.42, 0, 2 * Math.PI);
      context.fillStyle = edge;
      context.fill();
    }
    context.globalAlpha = 1;
  }

  #path(shape: Shape): Path2D {
    const known = this.#paths.get(shape);
    if (known) return known;
    const path = new Path2D(outlineOf(shape));
    this.#paths.set(shape, path);
    return path;
  }
}
