// Circles with numbers in the place of vehicles, on a canvas of its own over theirs: text is not WebGL's trade.

import { type Camera, toScreen } from '../core/camera';
import type { Counts } from '../core/counts';
import { count } from '../core/words';
import { interfaceScale } from '../media';

const RADIUS_MIN_PX = 13;
const RADIUS_MAX_PX = 44;

export class CountLayer {
  readonly canvas: HTMLCanvasElement;
  shown = false;
  #counts: Counts;
  #painted = '';

  constructor(canvas: HTMLCanvasElement, counts: Counts) {
    this.canvas = canvas;
    this.#counts = counts;
  }

  paint(camera: Camera, dark: boolean): void {
    const { canvas } = this;
    canvas.hidden = !this.shown;
    if (!this.shown) return;
    const ratio = Math.min(2, devicePixelRatio);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    const state = [...Object.values(camera), this.#counts.version, dark, width, height].join();
    if (state === this.#painted) return;
    this.#painted = state;
    canvas.width = Math.max(1, width);
    canvas.height = Math.max(1, height);
    const context = canvas.getContext('2d');
    if (!context) return;
    context.scale(ratio, ratio);
    const circles = this.#counts.circles(camera.scale);
    const most = Math.max(1, ...circles.map(({ vehicles }) => vehicles));
    // A handful is a handful: the largest circle is large only where many are.
    const largest = Math.min(RADIUS_MAX_PX, RADIUS_MIN_PX + 3.5 * Math.sqrt(most));
    const size = interfaceScale();
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    // The small ones last, so that none is hidden.
    for (const { vehicles, x, y } of circles.sort((a, b) => b.vehicles - a.vehicles)) {
      const at = toScreen(camera, x, y);
      const share = Math.sqrt(vehicles / most);
      const radius = (RADIUS_MIN_PX + (largest - RADIUS_MIN_PX) * share) * size;
      context.beginPath();
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
      context.fillStyle = dark ? 'rgb(125 176 255 / 0.92)' : 'rgb(22 89 214 / 0.9)';
      context.fill();
      context.lineWidth = 2.5 * size;
      context.strokeStyle = dark ? '#0c1521' : '#ffffff';
      context.stroke();
      context.font = `700 ${Math.round((11 + 5 * share) * size)}px "Noto Sans UI", sans-serif`;
      context.fillStyle = dark ? '#0c1521' : '#ffffff';
      context.fillText(count(vehicles), at.x, at.y + 0.5);
    }
  }
}
