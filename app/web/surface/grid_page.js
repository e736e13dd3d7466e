// One page of the grid: its images loaded ahead, which of them are taken out, and the answers that it makes.

import { h, setText, svg } from "./dom.js";
import { fit } from "./grid_layout.js";
import { ROOT } from "./login.js";

export const KEPT = "kept";
export const OUT = "out"; // back to everybody
export const SKIP = "skip"; // "not this class": asked last

const LARGE = 300; // px from which a thumbnail is too coarse
const TOLD = { [KEPT]: "kept", [OUT]: "taken out", [SKIP]: "not this class" };

export class Page {
  // `told` is the server's page, `kind` of grid_kinds.js; picked(i, mode) is called when a cell is pressed.
  constructor(told, { kind, wide, picked }) {
    Object.assign(this, { told, kind });
    this.cells = told.images.map((image, i) => this.#cell(image, i, wide, picked));
    this.element = h("div", { class: "rg-cells", role: "group", "aria-label": kind.group(told) }, ...this.cells.map((cell) => cell.element));
    this.ready = false;
    this.loaded = Promise.all(this.cells.map((cell) => cell.picture.decode().catch(() => {}))).then(() => (this.ready = true));
  }

  #cell(image, i, wide, picked) {
    const picture = new Image();
    picture.decoding = "sync";
    picture.draggable = false;
    picture.alt = "";
    picture.src = wide * (window.devicePixelRatio || 1) > LARGE ? `${ROOT}/image/${image.image_id}` : `${ROOT}/thumb/${image.image_id}`;
    const mark = h("span", { class: "rg-mark", "aria-hidden": "true" });
    const said = this.kind.share(image);
    const share = said ? h("span", { class: "rg-share", "aria-hidden": "true" }, said) : null;
    const element = h("button", { type: "button", class: "rg-cell" }, picture, image.region ? outline(image) : null, share, mark);
    element.addEventListener("pointerdown", (event) => event.preventDefault());
    element.addEventListener("click", () => picked(i));
    const cell = { ...image, element, picture, mark, state: KEPT };
    this.#dress(cell, i);
    return cell;
  }

  // A page ahead is painted under the one that is judged, so that showing it costs no more than uncovering it.
  ahead(waits) {
    this.element.classList.toggle("rg-ahead", waits);
    this.element.inert = waits;
  }

  fit(width, height) {
    const { columns, cell } = fit(this.cells.length, width, height);
    this.columns = columns;
    this.element.style.gridTemplateColumns = `repeat(${columns}, ${cell[0]}px)`;
    this.element.style.gridAutoRows = `${cell[1]}px`;
  }

  get ids() {
    return this.cells.map((cell) => cell.image_id);
  }

  count(state) {
    return this.cells.filter((cell) => cell.state === state).length;
  }

  // Between kept and `state`; from another mark straight to this one.
  toggle(i, state) {
    const cell = this.cells[i];
    cell.state = cell.state === state ? KEPT : state;
    this.#dress(cell, i);
  }

  #dress(cell, i) {
    cell.element.dataset.state = cell.state;
    cell.element.setAttribute("aria-pressed", String(cell.state === KEPT));
    cell.element.setAttribute("aria-label", `image ${i + 1}, ${this.kind.told(cell, this.told)}, ${TOLD[cell.state]}`);
    setText(cell.mark, cell.state === KEPT ? "" : cell.state === OUT ? "✕" : "not this");
  }

  // {events, out}: what is said of each image that was not taken out.
  answers(shownMs, annotator) {
    const said = this.cells.filter((cell) => cell.state !== OUT);
    const each = shownMs / this.cells.length;
    const events = said.map((cell) => this.kind.event(cell, this.told, { annotator, shownMs: each, stays: cell.state === KEPT }));
    return { events, out: this.cells.filter((cell) => cell.state === OUT).map((cell) => cell.image_id) };
  }

  renew(leases) {
    for (const cell of this.cells) cell.lease = leases[cell.image_id] ?? cell.lease;
  }
}

// The box that is proposed, over a picture that is fitted into its cell in the same way.
function outline({ region, width, height }) {
  const rect = svg("rect", { x: region.x * width, y: region.y * height, width: region.w * width, height: region.h * height, "vector-effect": "non-scaling-stroke" });
  return svg("svg", { class: "rm-region rg-region", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, rect);
}
