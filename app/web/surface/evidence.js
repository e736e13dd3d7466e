// "The evidence is here": one click or drag on the image, kept with the answer that follows; fingers and keys can do it, too.

const CLICKED = 0.16; // side of a click's box, as a share of the image's shorter side
const SMALLEST = 0.02; // a drag shorter than this is a click
const STEP = 0.05;
const MARKED = "evidence marked; it is kept with your answer, and looked for in your other images of that class";
const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class Evidence {
  constructor(label) {
    this.label = label;
    this.origin = null;
  }

  get open() {
    return this.label.stage.marking === this;
  }

  // Starts marking; while marking, takes the box away.
  toggle() {
    const { stage, current } = this.label;
    if (!current || current.broken) return;
    if (this.open) {
      current.region = null;
      this.end("no evidence is marked");
      return;
    }
    this.before = current.region ?? null;
    stage.marking = this;
    stage.box.classList.add("rm-marking");
    this.label.say("click or drag where the evidence is; arrows and Enter do it, too; Esc leaves", 15000);
  }

  // --- the pointer, in shares of the image

  from(point) {
    this.origin = point;
  }

  to(point) {
    if (this.origin) this.#set(between(this.origin, point));
  }

  done(size) {
    const { current } = this.label;
    if (!this.origin) return;
    const box = current.region;
    if (!box || box === this.before || Math.max(box.w, box.h) < SMALLEST) this.#set(around(this.origin, size));
    this.end(MARKED);
  }

  cancel() {
    if (!this.open) return;
    if (this.label.current) this.label.current.region = this.before;
    this.end("");
  }

  // --- keys while marking: arrows move a box (with Shift: its size), Enter takes it; says whether the key was used

  key(event) {
    const move = MOVES[event.key];
    if (!this.open || (!move && event.key !== "Enter")) return false;
    if (event.key === "Enter") {
      this.end(this.label.current.region ? MARKED : "");
      return true;
    }
    const { x, y, w, h } = this.label.current.region ?? { x: 0.375, y: 0.375, w: 0.25, h: 0.25 };
    const [dx, dy] = move;
    this.#set(event.shiftKey ? { x, y, w: within(w + dx, STEP, 1 - x), h: within(h + dy, STEP, 1 - y) } : { x: within(x + dx, 0, 1 - w), y: within(y + dy, 0, 1 - h), w, h });
    return true;
  }

  #set(region) {
    this.label.current.region = region;
    this.label.stage.layout();
  }

  end(sentence) {
    const { stage } = this.label;
    stage.marking = null;
    this.origin = this.before = null;
    stage.box.classList.remove("rm-marking");
    stage.layout();
    this.label.say(sentence);
  }
}

// As an event holds it: shares of the image with four decimals, or null.
export function stored(region) {
  if (!region) return null;
  const short = (value) => Math.round(value * 1e4) / 1e4;
  const [x, y] = [short(region.x), short(region.y)];
  return JSON.stringify({ x, y, w: short(Math.min(region.w, 1 - x)), h: short(Math.min(region.h, 1 - y)) });
}

export function read(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

export function between([a, b], [c, d]) {
  const [left, right] = [a, c].map((value) => within(value, 0, 1)).sort((p, q) => p - q);
  const [top, bottom] = [b, d].map((value) => within(value, 0, 1)).sort((p, q) => p - q);
  return { x: left, y: top, w: right - left, h: bottom - top };
}

export function around([u, v], { width, height }) {
  const side = CLICKED * Math.min(width, height);
  const [w, h] = [side / width, side / height];
  return { x: within(u - w / 2, 0, 1 - w), y: within(v - h / 2, 0, 1 - h), w, h };
}

const within = (value, least, most) => Math.min(most, Math.max(least, value));
