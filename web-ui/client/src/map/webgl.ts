// Paints all vehicles in one instanced draw: the GPU moves them, the page only uploads what has changed.

import { type Camera, rotation } from '../core/camera';
import { type Companies, rgb, SHAPES } from '../core/companies';
import { COAST_S, COASTS_FOR_S, STRIDE } from '../core/motion';
import { LOOK_STRIDE, type Store } from '../core/store';

/** One picture to paint. */
export interface Frame {
  camera: Camera;
  /** Page time in the store's seconds. */
  time: number;
  /** Pixels. */
  radius: number;
  /** Slot of the followed vehicle. */
  selected: number | undefined;
  dark: boolean;
  /** Whether vehicles whose next message is late roll on. */
  coasts: boolean;
}

export interface Painter {
  paint(frame: Frame): void;
}

/** Companies that the shader tells apart; further ones share. */
const COMPANIES_MAX = 64;
const FLOAT = 4;

export class WebGlPainter implements Painter {
  #canvas: HTMLCanvasElement;
  #gl: WebGL2RenderingContext;
  #store: Store;
  #companies: Companies;
  #uniforms = new Map<string, WebGLUniformLocation | null>();
  #motion: WebGLBuffer;
  #look: WebGLBuffer;
  #uploaded = -1;
  #companiesUploaded = -1;

  /** Undefined where there is no WebGL2. */
  static create(canvas: HTMLCanvasElement, store: Store, companies: Companies): WebGlPainter | undefined {
    const gl = canvas.getContext('webgl2', { antialias: false, premultipliedAlpha: true });
    return gl ? new WebGlPainter(canvas, gl, store, companies) : undefined;
  }

  private constructor(
    canvas: HTMLCanvasElement,
    gl: WebGL2RenderingContext,
    store: Store,
    companies: Companies,
  ) {
    this.#canvas = canvas;
    this.#gl = gl;
    this.#store = store;
    this.#companies = companies;
    this.#motion = gl.createBuffer();
    this.#look = gl.createBuffer();
    this.#setUp();
    // A lost context (a driver's update, a laptop that slept) comes back empty.
    canvas.addEventListener('webglcontextlost', (event) => event.preventDefault());
    canvas.addEventListener('webglcontextrestored', () => {
      this.#motion = gl.createBuffer();
      this.#look = gl.createBuffer();
      this.#uploaded = -1;
      this.#companiesUploaded = -1;
      this.#setUp();
    });
  }

  paint(frame: Frame): void {
    const gl = this.#gl;
    if (gl.isContextLost()) return;
    this.#upload();
    const { camera } = frame;
    const ratio = this.#canvas.width / Math.max(1, this.#canvas.clientWidth);
    const { cos, sin } = rotation(camera);
    const dx = (this.#store.originX - camera.x) * camera.scale;
    const dy = (this.#store.originY - camera.y) * camera.scale;

    gl.viewport(0, 0, this.#canvas.width, this.#canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.#at('u_size'), this.#canvas.clientWidth, this.#canvas.clientHeight);
    gl.uniform2f(this.#at('u_rotation'), cos, sin);
    gl.uniform1f(this.#at('u_scale'), camera.scale);
    // The store's origin on the screen: worked out here in float64, where it is exact.
    gl.uniform2f(
      this.#at('u_origin'),
      camera.screenX + cos * dx + sin * dy,
      camera.screenY - sin * dx + cos * dy,
    );
    gl.uniform1f(this.#at('u_bearing'), (camera.bearing * Math.PI) / 180);
    gl.uniform1f(this.#at('u_time'), frame.time);
    gl.uniform1f(this.#at('u_ratio'), ratio);
    gl.uniform1f(this.#at('u_dark'), frame.dark ? 1 : 0);
    gl.uniform1f(this.#at('u_coasts'), frame.coasts ? 1 : 0);

    this.#point(0);
    gl.uniform1f(this.#at('u_radius'), frame.radius);
    gl.uniform1f(this.#at('u_halo'), 0);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.#store.slots);
    if (frame.selected !== undefined) {
      // Once more, larger and over all others.
      this.#point(frame.selected);
      gl.uniform1f(this.#at('u_radius'), frame.radius * 1.3);
      gl.uniform1f(this.#at('u_halo'), 1);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, 1);
    }
  }

  #upload(): void {
    const gl = this.#gl;
    const store = this.#store;
    if (this.#uploaded !== store.version) {
      this.#uploaded = store.version;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#motion);
      gl.bufferData(gl.ARRAY_BUFFER, store.motion, gl.DYNAMIC_DRAW, 0, store.slots * STRIDE);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#look);
      gl.bufferData(gl.ARRAY_BUFFER, store.look, gl.DYNAMIC_DRAW, 0, store.slots * LOOK_STRIDE);
    }
    if (this.#companiesUploaded !== this.#companies.version) {
      this.#companiesUploaded = this.#companies.version;
      const table = new Float32Array(COMPANIES_MAX * 4);
      for (const company of this.#companies.list.slice(0, COMPANIES_MAX)) {
        const [r, g, b] = rgb(company.color);
        table.set([r / 255, g / 255, b / 255, SHAPES.indexOf(company.shape)], company.index * 4);
      }
      gl.uniform4fv(this.#at('u_company'), table);
    }
  }

  /** Makes `slot` the first instance. */
  #point(slot: number): void {
    const gl = this.#gl;
    const bytes = STRIDE * FLOAT;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#motion);
    gl.vertexAttribPointer(0, 4, gl.FLOAT, false, bytes, slot * bytes);
    gl.vertexAttribPointer(1, 4, gl.FLOAT, false, bytes, slot * bytes + 4 * FLOAT);
    gl.vertexAttribPointer(3, 1, gl.FLOAT, false, bytes, slot * bytes + 8 * FLOAT);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#look);
    gl.vertexAttribPointer(2, LOOK_STRIDE, gl.UNSIGNED_BYTE, false, LOOK_STRIDE, slot * LOOK_STRIDE);
  }

  #setUp(): void {
    const gl = this.#gl;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(`vehicles can't be painted: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    this.#uniforms.clear();
    const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) as number;
    for (let n = 0; n < count; n++) {
      const name = gl.getActiveUniform(program, n)!.name;
      this.#uniforms.set(name.replace('[0]', ''), gl.getUniformLocation(program, name));
    }
    for (const location of [0, 1, 2, 3]) {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribDivisor(location, 1);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  #at(uniform: string): WebGLUniformLocation | null {
    return this.#uniforms.get(uniform) ?? null;
  }
}

function compile(gl: WebGL2RenderingContext, type: number, source: string): WebGLShader {
  const shader = gl.createShader(type)!;
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
    throw new Error(`vehicles can't be painted: ${gl.getShaderInfoLog(shader)}`);
  }
  return shader;
}

/** Half the side of a vehicle's square, in radii: room for nose, shadow and halo. */
const REACH = '2.4';

// The curve is that of `place` in core/motion.ts.
const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec4 a_way;   // from, to
layout(location = 1) in vec4 a_when;  // from time, to time, from bearing, turn
layout(location = 2) in vec4 a_look;  // company, opacity, hired
layout(location = 3) in float a_coast;
uniform vec2 u_size, u_origin, u_rotation;
uniform float u_scale, u_bearing, u_time, u_radius, u_halo, u_coasts;
uniform vec4 u_company[${COMPANIES_MAX}];
out vec2 v_at;
flat out vec4 v_company;
flat out vec2 v_look;

void main() {
  if (a_look.y == 0.0) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); return; }
  float span = a_when.y - a_when.x;
  float t = span > 0.0 ? clamp((u_time - a_when.x) / span, 0.0, 1.0) : 1.0;
  vec2 from = a_way.xy;
  vec2 chord = a_way.zw - from;
  float bearing = a_when.z + a_when.w;
  vec2 leaving = vec2(sin(a_when.z), -cos(a_when.z));
  vec2 arriving = vec2(sin(bearing), -cos(bearing));
  float t2 = t * t;
  float t3 = t2 * t;
  float late = clamp(u_time - a_when.y, 0.0, ${COASTS_FOR_S.toFixed(2)});
  float rolled = u_coasts * a_coast * ${COAST_S.toFixed(2)} * (1.0 - exp(-late / ${COAST_S.toFixed(2)}));
  vec2 place = from + chord * (3.0 * t2 - 2.0 * t3)
    + leaving * max(0.0, dot(chord, leaving)) * (t3 - 2.0 * t2 + t)
    + arriving * max(0.0, dot(chord, arriving)) * (t3 - t2)
    + arriving * rolled;
  vec2 scaled = place * u_scale;
  vec2 screen = u_origin + vec2(
    u_rotation.x * scaled.x + u_rotation.y * scaled.y,
    u_rotation.x * scaled.y - u_rotation.y * scaled.x);

  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  float heading = a_when.z + a_when.w * t - u_bearing;
  v_at = corner * ${REACH};
  vec2 turned = vec2(
    cos(heading) * v_at.x + sin(heading) * v_at.y,
    sin(heading) * v_at.x - cos(heading) * v_at.y);
  vec2 clip = (screen + turned * u_radius) / u_size * 2.0 - 1.0;
  gl_Position = vec4(clip.x, -clip.y, 0.0, 1.0);
  v_company = u_company[int(a_look.x) % ${COMPANIES_MAX}];
  v_look = a_look.yz / 255.0;
}`;

// Signed distances in radii, y towards the front. See https://iquilezles.org/articles/distfunctions2d/ for the method.
const FRAGMENT = `#version 300 es
precision highp float;
in vec2 v_at;
flat in vec4 v_company;  // red, green, blue, shape
flat in vec2 v_look;     // opacity, hired
uniform float u_radius, u_ratio, u_dark, u_halo;
out vec4 color;

float wedge(vec2 p, float tip, float base, float half_width) {
  // A triangle that points to the front: two slanted sides and the base.
  vec2 side = normalize(vec2(tip - base, half_width));
  return max(dot(vec2(abs(p.x), p.y - tip), side), base - p.y);
}

float body(vec2 p, int shape) {
  if (shape == 1) { vec2 q = abs(p) - 0.62; return length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - 0.16; }
  if (shape == 2) { return wedge(p, 1.42, -0.86, 1.05); }
  if (shape == 3) { return (abs(p.x) + abs(p.y) - 1.12) * 0.7071; }
  return length(p) - 0.86;
}

void main() {
  int shape = int(v_company.w + 0.5);
  float away = body(v_at, shape);
  if (shape != 2) away = min(away, wedge(v_at, 1.62, 0.3, 0.72));
  float px = u_radius * u_ratio;
  float line = clamp(u_radius * 0.2, 1.2, 2.4) / u_radius;

  vec3 edge = mix(vec3(1.0), vec3(0.05, 0.07, 0.09), u_dark);
  vec3 fill = v_company.rgb;
  // A dark colour on a dark map is lifted a little; its hue stays.
  fill = mix(fill, mix(fill, vec3(1.0), 0.22), u_dark);
  float inside = clamp(0.5 - (away + line * 0.5) * px, 0.0, 1.0);
  float outline = clamp(0.5 - (away - line) * px, 0.0, 1.0);
  // Free vehicles are hollow.
  float hollow = clamp(0.5 - (body(v_at * 2.1, shape) / 2.1) * px, 0.0, 1.0) * (1.0 - v_look.y);
  vec3 paint = mix(edge, mix(fill, edge, hollow * 0.92), inside);
  float shadow = (1.0 - smoothstep(0.0, 0.75, away)) * 0.3;
  float alpha = outline + (1.0 - outline) * shadow;
  vec3 result = mix(vec3(0.0), paint, outline / max(alpha, 0.001));
  if (u_halo > 0.5) {
    float ring = clamp(0.5 - (abs(length(v_at) - 2.05) - 0.11) * px, 0.0, 1.0);
    float disc = clamp(0.5 - (length(v_at) - 2.05) * px, 0.0, 1.0) * 0.18;
    float glow = max(ring, disc) * (1.0 - outline);
    result = mix(result, fill, glow / max(alpha + glow, 0.001));
    alpha = max(alpha, glow);
  }
  alpha *= v_look.x;
  color = vec4(result * alpha, alpha);
}`;
