// The map: every image a point, what looks alike lies together. A line drawn around points filters the grid; so do keys.

import { ROOT } from "./browse_data.js";
import { button, h, number, setText } from "./dom.js";

const SIDE = 1000; // a lasso's coordinates
const CORNERS = 150;
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]; // Okabe and Ito
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BY = [["said", "class said"], ["top", "class suggested"], ["state", "state"]];

export class PoolMap {
  // lassoed(corners): flat numbers 0..1000; names(): Map of class names; who(): the person who looks.
  constructor({ lassoed, names, who }) {
    Object.assign(this, { lassoed, names, who });
    this.by = "said";
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": "Map of the images. Arrows move a square, plus and minus change its size, Enter shows the images in it." });
    this.said = h("p", { class: "bw-map-said", role: "status" });
    this.legend = h("ul", { class: "bw-legend", "aria-label": "Colours" });
    this.near = h("img", { class: "bw-near", alt: "", hidden: true });
    const colours = h("select", { "aria-label": "Colour the points by" }, ...BY.map(([value, text]) => h("option", { value }, text)));
    colours.addEventListener("change", () => { this.by = colours.value; this.draw(); });
    const tools = h("div", { class: "bw-tools" }, h("label", {}, "colour ", colours),
      button("+", () => this.#zoom(1.5), { class: "rm-button", "aria-label": "Zoom in" }), button("−", () => this.#zoom(1 / 1.5), { class: "rm-button", "aria-label": "Zoom out" }));
    this.root = h("section", { class: "bw-map", "aria-label": "Map of the images" }, tools, h("div", { class: "bw-canvas" }, this.canvas, this.near), this.said, this.legend);
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  async load() {
    const mine = (this.loading = {});
    for (;;) {
      const response = await fetch(`${ROOT}/api/v1/browse/map?annotator=${encodeURIComponent(this.who())}`, { cache: "no-store" }).catch(() => null);
      if (mine !== this.loading) return;
      if (response?.status === 200) return this.#take(response.headers, await response.arrayBuffer());
      const told = await response?.json().catch(() => null);
      setText(this.said, told?.sentence ? `${told.sentence} …` : (told?.error ?? "the server is away"));
      if (response?.status !== 202) return;
    }
  }

  #take(headers, body) {
    const count = Number(headers.get("X-RAUM-Points"));
    const of = (Kind, at, length) => new Kind(body, at * count, length);
    this.points = { count, ids: of(Int32Array, 0, count), said: of(Int32Array, 4, count), top: of(Int32Array, 8, count), places: of(Uint16Array, 12, 2 * count), state: of(Uint8Array, 16, count) };
    const [all, drawn] = [Number(headers.get("X-RAUM-Images")), Number(headers.get("X-RAUM-Drawn"))];
    this.name = headers.get("X-RAUM-Map");
    const sample = all > drawn ? `A random sample of ${number(all)} images; a lasso takes the images of the sample. ` : "";
    setText(this.said, `${sample}${number(count)} images, without those that measure the model. Draw around some, or use the arrow keys and Enter.`);
    this.draw();
  }

  // --- drawing

  draw() {
    const { points, canvas } = this;
    const box = canvas.parentElement;
    if (!box.clientWidth) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.side = Math.min(box.clientWidth, box.clientHeight || box.clientWidth);
    canvas.style.width = canvas.style.height = `${this.side}px`;
    canvas.width = canvas.height = Math.round(this.side * ratio);
    const pen = canvas.getContext("2d");
    if (points) {
      const style = getComputedStyle(canvas);
      const groups = this.#groups(style.getPropertyValue("--rm-quiet"));
      const dot = Math.max(1.5, Math.min(6, (this.side / Math.sqrt(points.count)) * 0.45)) * ratio;
      for (const { colour, members, strong } of groups) {
        pen.fillStyle = colour;
        pen.globalAlpha = strong ? 0.9 : 0.35;
        for (const i of members) {
          const [x, y] = this.#screen(points.places[2 * i] / 65.536, points.places[2 * i + 1] / 65.536);
          pen.fillRect(x * ratio - dot / 2, y * ratio - dot / 2, dot, dot);
        }
      }
    }
    pen.globalAlpha = 1;
    this.#outline(pen, ratio);
  }

  // Points by colour: the six largest groups have one of their own, the rest is grey and below them.
  #groups(grey) {
    const values = this.points[this.by];
    const members = new Map();
    for (let i = 0; i < values.length; i += 1) {
      if (!members.has(values[i])) members.set(values[i], []);
      members.get(values[i]).push(i);
    }
    const none = this.by === "state" ? 0 : -1;
    const large = [...members.keys()].filter((value) => value !== none).sort((a, b) => members.get(b).length - members.get(a).length).slice(0, COLOURS.length);
    const rest = [...members].filter(([value]) => !large.includes(value)).flatMap(([, found]) => found);
    const name = (value) => (this.by === "state" ? ["open", "labelled", "rejected"][value] : (this.names().get(value) ?? "?"));
    const lines = large.map((value, at) => [COLOURS[at], `${name(value)} (${number(members.get(value).length)})`]);
    lines.push([grey, `${this.by === "state" ? "open" : "none, or another class"} (${number(rest.length)})`]);
    this.legend.replaceChildren(...lines.map(([colour, text]) => h("li", {}, swatch(colour), text)));
    return [{ colour: grey, members: rest, strong: false }, ...large.map((value, at) => ({ colour: COLOURS[at], members: members.get(value), strong: true }))];
  }

  #outline(pen, ratio) {
    const line = this.drawn ?? this.square?.corners;
    if (!line || line.length < 4) return;
    pen.beginPath();
    for (let at = 0; at < line.length; at += 2) pen.lineTo(...this.#screen(line[at], line[at + 1]).map((each) => each * ratio));
    pen.closePath();
    pen.lineWidth = 2 * ratio;
    pen.strokeStyle = getComputedStyle(this.canvas).getPropertyValue("--rm-text");
    pen.stroke();
    pen.globalAlpha = 0.12;
    pen.fillStyle = pen.strokeStyle;
    pen.fill();
    pen.globalAlpha = 1;
  }

  #screen(x, y) {
    const { scale } = this.zoom;
    return [((x - this.zoom.x) / SIDE) * scale * this.side, ((y - this.zoom.y) / SIDE) * scale * this.side];
  }

  #map(event) {
    const box = this.canvas.getBoundingClientRect();
    const back = (pixel, from) => Math.max(0, Math.min(SIDE, (pixel / this.side / this.zoom.scale) * SIDE + from));
    return [back(event.clientX - box.left, this.zoom.x), back(event.clientY - box.top, this.zoom.y)];
  }

  #zoom(by, [x, y] = [this.zoom.x + SIDE / this.zoom.scale / 2, this.zoom.y + SIDE / this.zoom.scale / 2]) {
    const scale = Math.max(1, Math.min(40, this.zoom.scale * by));
    const kept = (at, from) => Math.max(0, Math.min(SIDE - SIDE / scale, at - ((at - from) * this.zoom.scale) / scale));
    this.zoom = { scale, x: kept(x, this.zoom.x), y: kept(y, this.zoom.y) };
    this.draw();
  }

  // --- hands

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.drawn = this.#map(event);
      this.square = null;
    });
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    canvas.addEventListener("pointerup", () => this.#done());
    canvas.addEventListener("pointercancel", () => { this.drawn = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => { this.near.hidden = true; });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.#zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.#map(event)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #moved(event) {
    const [x, y] = this.#map(event);
    if (!this.drawn) return this.#peek(event, x, y);
    const [lastX, lastY] = this.drawn.slice(-2);
    if (Math.hypot(x - lastX, y - lastY) < 4 / this.zoom.scale) return null;
    this.drawn.push(x, y);
    return this.draw();
  }

  // The image nearest to the pointer, beside it.
  #peek(event, x, y) {
    const { places, ids, count } = this.points ?? { count: 0 };
    let [best, distance] = [-1, (8 / this.side / this.zoom.scale) * SIDE];
    for (let i = 0; i < count; i += 1) {
      const apart = Math.hypot(places[2 * i] / 65.536 - x, places[2 * i + 1] / 65.536 - y);
      if (apart < distance) [best, distance] = [i, apart];
    }
    this.near.hidden = best < 0;
    if (best < 0) return;
    const box = this.canvas.getBoundingClientRect();
    this.near.src = `${ROOT}/thumb/${ids[best]}`;
    this.near.style.left = `${Math.min(event.clientX - box.left + 12, this.side - 110)}px`;
    this.near.style.top = `${Math.min(event.clientY - box.top + 12, this.side - 110)}px`;
  }

  #done() {
    const line = this.drawn ?? [];
    this.drawn = null;
    this.square = line.length >= 8 ? { corners: line } : null;
    if (this.square) this.#tell(line);
    this.draw();
  }

  #tell(line) {
    const every = Math.ceil(line.length / 2 / CORNERS);
    const corners = [];
    for (let at = 0; at < line.length / 2; at += every) corners.push(Math.round(line[2 * at]), Math.round(line[2 * at + 1]));
    this.lassoed(corners);
  }

  clear() {
    this.square = null;
    this.draw();
  }

  #pressed(event) {
    const step = KEYS[event.key];
    const size = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
    if ((!step && !size && event.key !== "Enter") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const { x = 500, y = 500, half = 60 } = this.square ?? {};
    if (event.key === "Enter") return void (this.square && this.#tell(this.square.corners));
    const wide = Math.max(8, Math.min(500, half * (size ?? 1)));
    const to = (at, by) => Math.max(wide, Math.min(SIDE - wide, at + by * (event.shiftKey ? 60 : 15)));
    const [nx, ny] = [to(x, step?.[0] ?? 0), to(y, step?.[1] ?? 0)];
    this.square = { x: nx, y: ny, half: wide, corners: [nx - wide, ny - wide, nx + wide, ny - wide, nx + wide, ny + wide, nx - wide, ny + wide] };
    this.draw();
  }
}

function swatch(colour) {
  const element = h("span", { class: "bw-swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}
