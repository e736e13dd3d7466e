// One frame of the stage: a picture with what is drawn over it, fitted, zoomed and outlined.

import { svg } from "./dom.js";
import * as zooms from "./zoom.js";

export class View {
  constructor(frame) {
    this.frame = frame;
    this.element = document.createElement("div");
    this.element.className = "rm-view";
    this.rect = svg("rect", { "vector-effect": "non-scaling-stroke" });
    this.outline = svg("svg", { class: "rm-region", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, this.rect);
    frame.replaceChildren(this.element);
    this.size = { width: 1, height: 1 };
    this.cell = { width: 1, height: 1 };
  }

  // Puts children of this natural size into a frame of `cell` pixels, as large as fits.
  show(children, natural, cell) {
    this.cell = cell;
    this.size = fitted(natural.width, natural.height, cell.width, cell.height);
    const { style } = this.element;
    style.left = `${(cell.width - this.size.width) / 2}px`;
    style.top = `${(cell.height - this.size.height) / 2}px`;
    style.width = `${this.size.width}px`;
    style.height = `${this.size.height}px`;
    const { element } = this;
    if (children.length !== element.children.length || children.some((child, i) => element.children[i] !== child)) element.replaceChildren(...children);
  }

  clear() {
    this.element.replaceChildren();
  }

  zoom({ k, x, y }) {
    this.element.style.transform = k === 1 ? "" : `translate(${100 * x}%, ${100 * y}%) scale(${k})`;
  }

  // The evidence region {x, y, w, h} in shares of the picture, or null.
  mark(region) {
    if (!region) return this.outline.remove();
    for (const [name, value] of [["x", region.x], ["y", region.y], ["width", region.w], ["height", region.h]]) this.rect.setAttribute(name, value);
    if (this.outline.parentNode !== this.element) this.element.append(this.outline);
    return undefined;
  }

  // What the frame shows, in the picture's own sizes.
  seen() {
    const [x, y] = [(this.cell.width / this.size.width - 1) / 2, (this.cell.height / this.size.height - 1) / 2];
    return { left: -x, top: -y, right: 1 + x, bottom: 1 + y };
  }

  // A pointer's place in the picture's own sizes, as if it were not zoomed.
  at(event) {
    const box = this.frame.getBoundingClientRect();
    const { left, top } = this.seen();
    return [(event.clientX - box.left) / this.size.width + left, (event.clientY - box.top) / this.size.height + top];
  }

  inside(event, zoom) {
    return zooms.inside(zoom, this.at(event));
  }
}

export function fitted(width, height, boxWidth, boxHeight) {
  const scale = Math.min(boxWidth / width, boxHeight / height);
  return { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) };
}
