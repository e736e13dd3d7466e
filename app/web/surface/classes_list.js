// The list of classes: only the rows in sight are elements, so that thousands stay smooth; keys, drag, renaming in place.

import * as model from "./classes_model.js";
import { h, number } from "./dom.js";
import * as keys from "./keys.js";

export const ROW = 38; // pixels
const PAGE = 10;

export class List {
  // select(id, byHand), rename(id, name), move(id, place), act(name, id) with name among merge, retire, up, down, in, out.
  constructor({ select, rename, move, act }) {
    Object.assign(this, { select, rename, move, act });
    this.rows = [];
    this.at = 0;
    this.editing = null;
    this.spacer = h("div", { class: "cl-spacer", role: "none" });
    this.root = h("div", { class: "cl-list", role: "tree", tabindex: "0", "aria-label": "Classes" }, this.spacer);
    this.root.addEventListener("scroll", () => this.#window().join() !== this.drawn && this.draw(), { passive: true });
    const shortcuts = () => this.root.setAttribute("aria-keyshortcuts", ["rename", "retire", "merge"].map(keys.keyOf).join(" "));
    keys.listen(shortcuts);
    shortcuts();
    this.root.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(this.root);
    this.#dragging();
  }

  get current() {
    return this.rows[this.at] ?? null;
  }

  // Takes other rows; the same class stays chosen.
  show(rows, most) {
    const id = this.current?.class_id;
    this.rows = rows;
    this.most = Math.max(1, most);
    const at = rows.findIndex((row) => row.class_id === id);
    this.at = at < 0 ? Math.min(this.at, Math.max(0, rows.length - 1)) : at;
    if (this.editing === null) this.draw();
  }

  choose(id, byHand = true) {
    const at = this.rows.findIndex((row) => row.class_id === id);
    if (at < 0) return;
    this.at = at;
    this.#reveal();
    this.draw();
    this.select(id, byHand);
  }

  draw() {
    if (this.editing !== null) return;
    this.spacer.style.height = `${this.rows.length * ROW}px`;
    const [first, last] = this.#window();
    this.drawn = `${first},${last}`;
    this.spacer.replaceChildren(...this.rows.slice(first, last).map((row, i) => this.#row(row, first + i)));
    if (this.current && this.at >= first && this.at < last) this.root.setAttribute("aria-activedescendant", `cl-row-${this.current.class_id}`);
    else this.root.removeAttribute("aria-activedescendant");
  }

  #window() {
    return model.visible(this.rows.length, this.root.scrollTop, this.root.clientHeight, ROW);
  }

  #row(row, at) {
    const share = row.expected ? Math.min(1, row.count / row.expected) : row.count / this.most;
    const counted = row.gone ? row.path : row.expected ? `${number(row.count)} of ≈ ${number(row.expected)}` : number(row.count);
    const says = `${row.name}, ${row.gone ? row.path : `${counted} labels`}${row.shortcut ? `, key ${row.shortcut}` : ""}`;
    const bar = h("span", { class: "cl-track", "aria-hidden": "true" }, h("span", { class: "cl-bar", style: `transform: scaleX(${share})` }));
    const element = h("div", {
      class: `cl-row${row.gone ? " cl-gone" : ""}`, role: "treeitem", id: `cl-row-${row.class_id}`, "data-id": row.class_id, draggable: row.gone ? false : "true",
      "aria-selected": String(at === this.at), "aria-level": row.depth + 1, "aria-posinset": at + 1, "aria-setsize": this.rows.length, "aria-label": says,
      style: `top: ${at * ROW}px; --depth: ${Math.min(row.depth, 8)}`,
    },
    h("span", { class: "cl-grip", "aria-hidden": "true" }, row.gone ? "" : "⠿"),
    h("span", { class: "cl-name", title: row.name }, row.path && !row.gone ? h("span", { class: "cl-path" }, `${row.path} › `) : null, row.name),
    row.shortcut ? h("kbd", {}, row.shortcut) : h("span", {}),
    row.gone ? h("span", {}) : bar, h("span", { class: "cl-count" }, counted));
    element.addEventListener("click", () => this.choose(row.class_id));
    element.addEventListener("dblclick", () => row.gone || this.edit(row));
    return element;
  }

  // The name becomes a field: Enter or leaving it keeps what was typed, Esc does not.
  edit(row = this.current) {
    if (!row || row.gone) return;
    this.choose(row.class_id, false);
    const place = this.spacer.querySelector(`[data-id="${row.class_id}"] .cl-name`);
    if (!place) return;
    this.editing = row.class_id;
    const field = h("input", { type: "text", class: "cl-edit", "aria-label": `New name of ${row.name}`, maxlength: "255", spellcheck: "false", autocomplete: "off" });
    field.value = row.name;
    place.replaceChildren(field);
    let open = true;
    const end = (keep) => {
      if (!open) return;
      open = false;
      this.editing = null;
      const name = field.value.trim();
      this.draw();
      this.root.focus({ preventScroll: true });
      if (keep && name && name !== row.name) this.rename(row.class_id, name);
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") end(true);
      else if (event.key === "Escape") end(false);
      else return;
      event.preventDefault();
    });
    for (const kind of ["click", "dblclick"]) field.addEventListener(kind, (event) => event.stopPropagation());
    field.addEventListener("blur", () => end(true));
    field.focus();
    field.select();
  }

  #key(event) {
    const row = this.current;
    if (event.target !== this.root || event.ctrlKey || event.metaKey || !row) return;
    const action = keys.meaning(event, "classes")?.action;
    const moves = { ArrowUp: "up", ArrowDown: "down", ArrowRight: "in", ArrowLeft: "out" };
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE, Home: -Infinity, End: Infinity };
    if (event.altKey && moves[event.key]) this.act(moves[event.key], row.class_id);
    else if (event.altKey) return;
    else if (steps[event.key]) this.#step(steps[event.key]);
    else if (action === "rename") this.edit();
    else if (action === "retire" || action === "merge") this.act(action, row.class_id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(by) {
    const at = Math.max(0, Math.min(this.rows.length - 1, this.at + by));
    this.choose(this.rows[at].class_id, false);
  }

  #reveal() {
    const top = this.at * ROW;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + ROW > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = top + ROW - this.root.clientHeight;
  }

  // Over the upper part of a row: ahead of it; over the lower: behind it; over its middle: under it.
  #dragging() {
    let id = null;
    let mark = null;
    const clear = () => {
      mark?.removeAttribute("data-drop");
      mark = null;
    };
    const placeAt = (event) => {
      const over = event.target.closest?.(".cl-row");
      if (!over || id === null) return null;
      const box = over.getBoundingClientRect();
      const classes = this.rows.filter((row) => !row.gone);
      return [over, model.drop(classes, id, Number(over.dataset.id), (event.clientY - box.top) / box.height)];
    };
    this.root.addEventListener("dragstart", (event) => {
      id = Number(event.target.closest?.(".cl-row")?.dataset.id);
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", String(id));
    });
    this.root.addEventListener("dragover", (event) => {
      const found = placeAt(event);
      clear();
      if (!found?.[1]) return;
      event.preventDefault();
      [mark] = found;
      mark.dataset.drop = found[1].where;
    });
    this.root.addEventListener("drop", (event) => {
      const found = placeAt(event);
      clear();
      event.preventDefault();
      if (found?.[1]) this.move(id, found[1]);
      id = null;
    });
    this.root.addEventListener("dragend", clear);
  }
}
