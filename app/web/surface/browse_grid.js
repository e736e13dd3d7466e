// A grid of as many cells as there are images, of which only those in sight exist. Positions beyond what a browser can scroll
// are reached by moving the whole under the scroll bar: small steps go on evenly, large ones jump in proportion.

import { h } from "./dom.js";

const MOST_PX = 6000000; // browsers stop between 17 and 33 million
const GAP = 6;
const AROUND = 2; // rows beyond the window's edge
const CAPTION = 44;
const FAST = 3; // windows within one step of scrolling, from which on nothing is fetched
const REST_MS = 90;

export class Grid {
  // dress(cell, i, still): put item i into a cell, with its picture only when `still`; need(from, to): these are in sight.
  constructor(place, { dress, need, smallest = () => 150 }) {
    Object.assign(this, { place, dress, need, smallest });
    this.body = h("div", { class: "bw-body", role: "presentation" });
    place.append(this.body);
    this.cells = new Map();
    this.spare = [];
    this.total = 0;
    this.top = 0; // where the window's upper edge is in the whole
    this.before = 0; // scrollTop at the last look
    this.still = true;
    place.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(place);
  }

  get rows() {
    return Math.ceil(this.total / this.columns);
  }

  get whole() {
    return Math.max(0, this.rows * (this.height + GAP) - GAP);
  }

  get highest() {
    return Math.max(0, this.whole - this.place.clientHeight);
  }

  // Another order: everything in sight is put anew, from its beginning unless it stays.
  set(total, stays = false) {
    this.total = total;
    this.#measure();
    this.#to(stays ? this.top : 0);
  }

  refresh() {
    for (const [i, cell] of this.cells) this.dress(cell, i, this.still);
  }

  reveal(i) {
    const y = Math.floor(i / this.columns) * (this.height + GAP);
    if (y < this.top) this.#to(y);
    else if (y + this.height > this.top + this.place.clientHeight) this.#to(y + this.height - this.place.clientHeight);
  }

  cell(i) {
    return this.cells.get(i) ?? null;
  }

  // Index of the first image in sight: the place that is kept when the order is asked anew.
  get first() {
    return Math.min(this.total, Math.round(this.top / (this.height + GAP)) * this.columns);
  }

  get rowsInSight() {
    return Math.max(1, Math.floor(this.place.clientHeight / (this.height + GAP)));
  }

  // Indices of the cells that a rectangle touches; x and y from the whole's upper left corner.
  within(left, top, right, bottom) {
    const [step, line] = [this.width + GAP, this.height + GAP];
    const found = [];
    const columns = [Math.max(0, Math.floor(left / step)), Math.min(this.columns - 1, Math.floor(right / step))];
    for (let row = Math.max(0, Math.floor(top / line)); row <= Math.min(this.rows - 1, Math.floor(bottom / line)); row += 1) {
      for (let column = columns[0]; column <= columns[1]; column += 1) if (row * this.columns + column < this.total) found.push(row * this.columns + column);
    }
    return found;
  }

  // A point of the screen in the whole.
  at(event) {
    const box = this.place.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top + this.top];
  }

  #measure() {
    const width = this.place.clientWidth - 1;
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.smallest() + GAP)));
    this.width = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    this.height = this.width + CAPTION;
    this.body.style.height = `${Math.min(MOST_PX, this.whole)}px`;
    this.body.style.setProperty("--cell", `${this.width}px`);
    this.body.style.setProperty("--cell-high", `${this.height}px`);
  }

  // Cells and their pictures stay, they only move; at the edges some come or go.
  #resized() {
    if (!this.place.clientWidth) return;
    const { first } = this;
    this.#measure();
    this.#to(Number.isFinite(first) ? Math.floor(first / this.columns) * (this.height + GAP) : 0);
  }

  #scrolled() {
    const now = this.place.scrollTop;
    const step = now - this.before;
    if (step === 0) return;
    this.before = now;
    const real = this.place.scrollHeight - this.place.clientHeight;
    if (Math.abs(step) > FAST * this.place.clientHeight || now <= 0 || now >= real) this.top = real > 0 ? (now / real) * this.highest : 0;
    else this.top = Math.max(0, Math.min(this.highest, this.top + step));
    this.still = Math.abs(step) <= FAST * this.place.clientHeight;
    this.#paint();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#rest(), REST_MS);
  }

  // Scrolling has ended: the scroll bar is put where the window is, and pictures are fetched.
  #rest() {
    this.still = true;
    this.#to(this.top);
  }

  #to(top) {
    this.top = Math.max(0, Math.min(this.highest, top));
    const real = Math.min(MOST_PX, this.whole) - this.place.clientHeight;
    const wanted = this.highest > 0 ? (this.top / this.highest) * real : 0;
    if (Math.abs(this.place.scrollTop - wanted) > 1) this.place.scrollTop = wanted;
    this.before = this.place.scrollTop;
    this.#paint();
    this.refresh();
  }

  #paint() {
    const line = this.height + GAP;
    const from = Math.max(0, Math.floor(this.top / line) - AROUND) * this.columns;
    const to = Math.min(this.total, (Math.ceil((this.top + this.place.clientHeight) / line) + AROUND) * this.columns);
    this.#drop((i) => i < from || i >= to);
    for (let i = from; i < to; i += 1) {
      const known = this.cells.get(i);
      const cell = known ?? this.#made(i);
      const x = (i % this.columns) * (this.width + GAP);
      const y = Math.floor(i / this.columns) * line - this.top + this.before;
      cell.style.transform = `translate(${x}px, ${Math.round(y)}px)`;
      if (!known) this.dress(cell, i, this.still);
    }
    if (this.still && to > from) this.need(from, to - 1);
  }

  #made(i) {
    const cell = this.spare.pop() ?? h("div", { class: "bw-cell", role: "option" });
    cell.id = `bw-${i}`;
    this.cells.set(i, cell);
    this.body.append(cell);
    return cell;
  }

  // A cell that leaves takes its picture along: what was not yet fetched is no longer wanted.
  #drop(gone) {
    for (const [i, cell] of this.cells) {
      if (!gone(i)) continue;
      this.cells.delete(i);
      cell.querySelector("img")?.removeAttribute("src");
      cell.remove();
      if (this.spare.length < 200) this.spare.push(cell);
    }
  }
}
