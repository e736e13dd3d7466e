// The image as large as fits, with its map over it; beside it, where there is room, the image with the map, or a labelled one.

import * as gestures from "./gestures.js";
import * as maps from "./maps.js";
import { View, fitted } from "./view.js";
import * as zooms from "./zoom.js";

const WIDE = matchMedia("(min-width: 1600px)");
const GAP = 8;
const CENTRE = [0.5, 0.5];
const DEEPEST = 3; // the map is drawn anew up to this zoom, beyond it is scaled

export class Stage {
  constructor(root, identity) {
    this.identity = identity;
    this.box = root.querySelector(".rm-frames");
    this.views = ["plain", "map"].map((name) => new View(root.querySelector(`[data-frame="${name}"]`)));
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.ready = null;
    this.beside = null; // a labelled picture to compare with: {image, width, height}
    this.marking = null; // who draws an evidence region: {from, to, done, cancel}
    this.peeking = false;
    this.zoom = zooms.FIT;
    this.room = { width: 0, height: 0 }; // asking the box for its size would lay the page out anew at every image
    new ResizeObserver(() => {
      this.room = { width: this.box.clientWidth, height: this.box.clientHeight };
      this.layout();
    }).observe(this.box);
    WIDE.addEventListener("change", () => this.layout());
    maps.runContourAt(identity.wishes.level / 100);
    gestures.listen(this);
  }

  // Put a prepared image on the stage: nothing is waited for.
  show(ready) {
    if (this.ready !== ready) this.beside = null;
    if (this.ready !== ready) this.zoom = zooms.FIT;
    this.ready = ready;
    this.layout();
  }

  clear() {
    this.ready = this.beside = null;
    this.views.forEach((view) => view.clear());
  }

  // --- which map

  // The map that is drawn now, or null.
  current() {
    const { wishes } = this.identity;
    const hidden = { always: wishes.hidden, peek: !this.peeking, off: true }[wishes.maps];
    return hidden ? null : this.chosen();
  }

  chosen() {
    return this.ready?.maps.find((map) => map.kind === this.identity.wishes.map) ?? this.ready?.maps[0] ?? null;
  }

  // One step through the kinds, then (where maps are always shown) off, then again from the first.
  cycle() {
    const kinds = this.ready?.maps ?? [];
    const always = this.identity.wishes.maps === "always";
    const at = kinds.indexOf(always ? this.current() : this.chosen());
    const last = at === kinds.length - 1;
    if (always) this.identity.wish("hidden", last);
    if (kinds.length) this.identity.wish("map", kinds[last ? 0 : at + 1].kind);
    this.layout();
  }

  toggle() {
    this.identity.wish("hidden", !this.identity.wishes.hidden);
    this.layout();
  }

  peek(shown) {
    this.peeking = shown;
    if (shown && this.chosen()) this.ready.peeked = true;
    this.layout();
  }

  // The contour's level in percent of the map's maximum, 100 draws none.
  runContour(step) {
    const level = Math.min(100, Math.max(10, this.identity.wishes.level + step));
    this.identity.wish("level", level);
    maps.runContourAt(level / 100);
    this.draw();
  }

  // --- zoom: both pictures follow

  zoomBy(factor, at = CENTRE, view = this.views[0]) {
    this.#zoomTo(zooms.zoomed(this.zoom, factor, at, view.seen()));
  }

  panBy(step, view = this.views[0]) {
    this.#zoomTo(zooms.panned(this.zoom, step, view.seen()));
  }

  fit() {
    this.#zoomTo(zooms.FIT);
  }

  #zoomTo(zoom) {
    const grown = zoom.k !== this.zoom.k;
    this.zoom = zoom;
    this.#apply();
    if (grown) this.draw();
  }

  #apply() {
    for (const view of this.views) view.zoom(this.zoom);
    this.box.classList.toggle("rm-zoomed", this.zoom.k > 1);
  }

  // --- drawing

  layout() {
    const { width, height } = this.room;
    if (!this.ready || !width) return;
    const map = this.current();
    const split = this.beside !== null || (WIDE.matches && map !== null && this.identity.wishes.split);
    const stacked = this.beside !== null && largerStacked(this.ready, width, height);
    const cell = { width: split && !stacked ? (width - GAP) / 2 : width, height: stacked ? (height - GAP) / 2 : height };
    const [plain, other] = this.views;
    this.box.classList.toggle("rm-stacked", stacked);
    other.frame.hidden = !split;
    plain.show(map && (!split || this.beside) ? [this.ready.image, this.canvas] : [this.ready.image], this.ready, cell);
    if (this.beside) other.show([this.beside.image], this.beside, cell);
    else if (split) other.show([this.ready.copy(), this.canvas], this.ready, cell);
    else other.clear();
    plain.mark(this.ready.region);
    other.mark(split && !this.beside ? this.ready.region : null);
    this.#apply();
    this.draw(map);
  }

  draw(map = this.current()) {
    const ratio = Math.min(2, window.devicePixelRatio || 1) * Math.min(DEEPEST, this.zoom.k);
    const { size } = this.views[0];
    maps.draw(this.canvas, map, { width: Math.round(size.width * ratio), height: Math.round(size.height * ratio), line: ratio / this.zoom.k, wishes: this.identity.wishes });
  }
}

// Whether two pictures one above the other are shown larger than side by side.
function largerStacked(natural, width, height) {
  const above = fitted(natural.width, natural.height, width, (height - GAP) / 2);
  return above.width > fitted(natural.width, natural.height, (width - GAP) / 2, height).width;
}
