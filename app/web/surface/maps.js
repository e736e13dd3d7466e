// Attention maps: a small grey picture becomes a smooth tint and a contour, ready to be drawn in one step, with a frame and
// with cells greyed out where there are some.

import { ROOT } from "./login.js";

const LONG_SIDE = 160; // grid of the smooth map
const FAINT = 0.12; // values below are not tinted
export const HUE = [255, 140, 0];
const BLANK = [118, 118, 118]; // grey over cells that were hidden from the network

let level = 0.5; // where the contour runs: a share of the map's maximum; 1 draws none

// Loads one map; resolves to {kind, caption, box, votes, smooth, tint: canvas, erased: canvas}, or null when there is none.
export async function load(overlay, width, height) {
  const image = new Image();
  image.src = ROOT + overlay.url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  const grid = greys(image);
  const { kind, caption, box, votes } = overlay;
  const scale = LONG_SIDE / Math.max(width, height);
  const smooth = resample(grid, Math.max(2, Math.round(width * scale)), Math.max(2, Math.round(height * scale)));
  const peak = smooth.values.reduce((most, value) => Math.max(most, value), 0);
  const map = { kind, caption, box, votes, smooth, tint: tinted(smooth), erased: overlay.erased ? blanked(image) : null, peak, contour: null, level: null };
  outline(map);
  return map;
}

export function runContourAt(share) {
  level = share;
}

function outline(map) {
  if (map.level !== level) Object.assign(map, { level, contour: contour(map.smooth, level * map.peak) });
  return map.contour;
}

// Paints a map (or nothing) on a canvas of width x height pixels; `line` is one pixel of the screen in its pixels.
export function draw(canvas, map, { width, height, line, wishes }) {
  const context = canvas.getContext("2d");
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  else context.clearRect(0, 0, width, height);
  if (!map) return;
  const path = new Path2D();
  context.globalAlpha = 1;
  if (map.erased) {
    context.imageSmoothingEnabled = false;
    context.drawImage(map.erased, 0, 0, width, height);
    context.imageSmoothingEnabled = true;
  }
  if (map.kind !== "zoom") { // of that one the frame says it all
    context.globalAlpha = wishes.opacity / 100;
    context.imageSmoothingQuality = "high";
    context.drawImage(map.tint, 0, 0, width, height);
    path.addPath(outline(map), new DOMMatrix().scale(width, height));
  }
  if (map.box) path.addPath(frame(map.box, 2 * line, width, height));
  context.globalAlpha = 0.35 + (0.65 * wishes.opacity) / 100;
  context.lineCap = "round";
  for (const [style, thick] of [["rgba(0,0,0,.55)", 3.5], ["rgb(255,190,92)", 1.6]]) {
    context.strokeStyle = style;
    context.lineWidth = thick * line;
    context.stroke(path);
  }
}

// A frame whose line stays inside the picture: [left, top, right, bottom] in shares of it.
function frame(box, inside, width, height) {
  const [left, top, right, bottom] = box.map((share, i) => {
    const side = i % 2 ? height : width;
    return Math.min(side - inside, Math.max(inside, share * side));
  });
  const path = new Path2D();
  path.rect(left, top, right - left, bottom - top);
  return path;
}

// The cells that were taken away, as the picture's second channel marks them.
function blanked(image) {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < picture.data.length; i += 4) picture.data.set([...BLANK, picture.data[i + 1] > 127 ? 235 : 0], i);
  context.putImageData(picture, 0, 0);
  return canvas;
}

function greys(image) {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const values = new Float32Array(canvas.width * canvas.height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i] / 255;
  return { values, width: canvas.width, height: canvas.height };
}

// Cubic B-spline interpolation: no corners of the grid remain, nothing overshoots.
export function resample(grid, width, height) {
  const across = weights(grid.width, width);
  const down = weights(grid.height, height);
  const rows = new Float32Array(grid.height * width);
  for (let y = 0; y < grid.height; y++)
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += across.value[4 * x + k] * grid.values[y * grid.width + across.at[4 * x + k]];
      rows[y * width + x] = sum;
    }
  const values = new Float32Array(height * width);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += down.value[4 * y + k] * rows[down.at[4 * y + k] * width + x];
      values[y * width + x] = sum;
    }
  return { values, width, height };
}

function weights(from, to) {
  const at = new Int32Array(4 * to);
  const value = new Float32Array(4 * to);
  for (let i = 0; i < to; i++) {
    const position = ((i + 0.5) * from) / to - 0.5;
    const base = Math.floor(position);
    const t = position - base;
    const w = [(1 - t) ** 3, 3 * t ** 3 - 6 * t ** 2 + 4, -3 * t ** 3 + 3 * t ** 2 + 3 * t + 1, t ** 3];
    for (let k = 0; k < 4; k++) {
      at[4 * i + k] = Math.min(from - 1, Math.max(0, base - 1 + k));
      value[4 * i + k] = w[k] / 6;
    }
  }
  return { at, value };
}

function tinted({ values, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const t = Math.min(1, Math.max(0, (values[i] - FAINT) / (1 - FAINT)));
    picture.data.set([HUE[0], HUE[1], HUE[2], Math.round(255 * t * t * (3 - 2 * t))], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

// Marching squares; the path's coordinates are shares of width and height.
function contour({ values, width, height }, level) {
  const path = new Path2D();
  for (const [x1, y1, x2, y2] of segments(values, width, height, level)) {
    path.moveTo(x1, y1);
    path.lineTo(x2, y2);
  }
  return path;
}

export function segments(values, width, height, level) {
  const found = [];
  const X = (x) => (x + 0.5) / width;
  const Y = (y) => (y + 0.5) / height;
  const cut = (a, b) => (level - a) / (b - a);
  for (let y = 0; y + 1 < height; y++)
    for (let x = 0; x + 1 < width; x++) {
      const a = values[y * width + x];
      const b = values[y * width + x + 1];
      const c = values[(y + 1) * width + x + 1];
      const d = values[(y + 1) * width + x];
      const points = [];
      if (a > level !== b > level) points.push([X(x + cut(a, b)), Y(y)]);
      if (b > level !== c > level) points.push([X(x + 1), Y(y + cut(b, c))]);
      if (d > level !== c > level) points.push([X(x + cut(d, c)), Y(y + 1)]);
      if (a > level !== d > level) points.push([X(x), Y(y + cut(a, d))]);
      for (let k = 0; k + 1 < points.length; k += 2) found.push([...points[k], ...points[k + 1]]);
    }
  return found;
}
