// The image as large as fits, with its map over it; on wide windows the plain image and the one with the map side by side.

const WIDE = matchMedia("(min-width: 1600px)");
const GAP = 8;

export class Stage {
  constructor(root, identity) {
    this.identity = identity;
    this.box = root.querySelector(".rm-frames");
    this.plain = root.querySelector('[data-frame="plain"]');
    this.map = root.querySelector('[data-frame="map"]');
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.ready = null;
    new ResizeObserver(() => this.layout()).observe(this.box);
    WIDE.addEventListener("change", () => this.layout());
  }

  // Put a prepared image on the stage: nothing is waited for.
  show(ready) {
    this.ready = ready;
    this.layout();
  }

  clear() {
    this.ready = null;
    this.plain.replaceChildren();
    this.map.replaceChildren();
  }

  // The map that is drawn now, or null.
  current() {
    const { wishes } = this.identity;
    if (!this.ready || wishes.hidden || !this.ready.maps.length) return null;
    return this.ready.maps.find((map) => map.kind === wishes.map) ?? this.ready.maps[0];
  }

  // One step through the kinds, then off, then again from the first.
  cycle() {
    const maps = this.ready?.maps ?? [];
    const at = maps.indexOf(this.current());
    this.identity.wish("hidden", at === maps.length - 1);
    if (at < maps.length - 1) this.identity.wish("map", maps[at + 1].kind);
    else if (maps.length) this.identity.wish("map", maps[0].kind);
    this.layout();
  }

  toggle() {
    this.identity.wish("hidden", !this.identity.wishes.hidden);
    this.layout();
  }

  layout() {
    if (!this.ready || !this.box.clientWidth) return;
    const map = this.current();
    const split = WIDE.matches && map !== null && this.identity.wishes.split;
    const width = split ? (this.box.clientWidth - GAP) / 2 : this.box.clientWidth;
    const size = fitted(this.ready.width, this.ready.height, width, this.box.clientHeight);
    this.map.hidden = !split;
    place(this.plain, size, [this.ready.image]);
    if (split) place(this.map, size, [this.ready.copy(), this.canvas]);
    else {
      this.map.replaceChildren();
      if (map) this.plain.append(this.canvas);
    }
    this.draw(map, size);
  }

  draw(map = this.current(), size = null) {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const context = this.canvas.getContext("2d");
    const wanted = size ? [Math.round(size.width * ratio), Math.round(size.height * ratio)] : [this.canvas.width, this.canvas.height];
    if (this.canvas.width !== wanted[0] || this.canvas.height !== wanted[1]) [this.canvas.width, this.canvas.height] = wanted;
    else context.clearRect(0, 0, ...wanted);
    if (!map) return;
    const { width, height } = this.canvas;
    context.globalAlpha = this.identity.wishes.opacity / 100;
    context.imageSmoothingQuality = "high";
    context.drawImage(map.tint, 0, 0, width, height);
    context.globalAlpha = 0.35 + (0.65 * this.identity.wishes.opacity) / 100;
    const outline = new Path2D();
    outline.addPath(map.contour, new DOMMatrix().scale(width, height));
    context.lineCap = "round";
    for (const [style, line] of [["rgba(0,0,0,.55)", 3.5], ["rgb(255,190,92)", 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = line * ratio;
      context.stroke(outline);
    }
  }
}

function place(frame, size, children) {
  frame.style.width = `${size.width}px`;
  frame.style.height = `${size.height}px`;
  if (children.length !== frame.children.length || children.some((child, i) => frame.children[i] !== child)) {
    frame.replaceChildren(...children);
  }
}

export function fitted(width, height, boxWidth, boxHeight) {
  const scale = Math.min(boxWidth / width, boxHeight / height);
  return { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) };
}
