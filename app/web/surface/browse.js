// The Browse tab: filters above, the grid, the map beside it, one image large; what is selected is labelled or taken back at once.

import { get } from "./api.js";
import { Bar } from "./browse_bar.js";
import { dress } from "./browse_cell.js";
import { Windows } from "./browse_data.js";
import { Bulk } from "./browse_bulk.js";
import { Grid } from "./browse_grid.js";
import { FIXED, listen } from "./browse_hands.js";
import { PoolMap } from "./browse_map.js";
import { Large } from "./browse_view.js";
import { button, h, number, setText } from "./dom.js";
import { tell } from "./key_hints.js";
import { KeySheet } from "./keysheet.js";

const MOST = 1000; // images of one action
const PHONE = matchMedia("(max-width: 640px)");

export class Browse {
  constructor(slot, { identity, status, label }) {
    Object.assign(this, { identity, status, label, at: 0, from: 0, chosen: new Set(), asked: false });
    this.windows = new Windows(() => this.came());
    this.bar = new Bar(() => this.ask());
    this.list = h("div", { class: "bw-grid", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": "Images" });
    this.empty = h("div", { class: "bw-empty", role: "status", hidden: true });
    this.large = new Large({ act: (action) => this.act(action), who: () => identity.annotator });
    this.map = new PoolMap({ lassoed: (corners) => this.bar.set({ lasso: corners.join(",") }), names: () => this.names ?? new Map(), who: () => identity.annotator });
    this.map.root.hidden = true;
    this.bulk = new Bulk(this);
    this.mapButton = tell(button("map", () => this.act("map"), { class: "rm-button", "aria-pressed": "false" }), "map");
    const help = h("div", { class: "rm-help", role: "dialog", "aria-label": "Keys", hidden: true });
    this.sheet = new KeySheet(help, "browse", { fixed: FIXED });
    this.fresh = button("new answers: look again", () => this.ask(true), { class: "bw-clear", hidden: true });
    this.bar.root.append(this.mapButton);
    this.root = h("div", { class: "raum bw" }, this.bar.root, h("div", { class: "bw-under" }, this.bar.chips, this.fresh), h("div", { class: "bw-main" }, this.list, this.empty, this.map.root, this.large.root), this.bulk.root, help);
    slot.replaceChildren(this.root);
    this.grid = new Grid(this.list, {
      dress: (cell, i, still) => dress(cell, this.windows.item(i), { index: i, total: this.windows.total ?? 0, selected: this.isChosen(i), current: i === this.at, still }),
      need: (from, to) => this.windows.need(from, to),
      smallest: () => (PHONE.matches ? 104 : 150),
    });
    listen(this);
    this.bulk.show();
    new IntersectionObserver(() => this.visible() && this.opened()).observe(this.root);
  }

  visible() {
    return this.root.isConnected && this.root.checkVisibility();
  }

  opened() {
    void this.choices();
    if (!this.asked) void this.ask();
    this.asked = true;
  }

  item(i = this.at) {
    return this.windows.item(i);
  }

  isChosen(i) {
    const item = this.windows.item(i);
    return item !== null && this.chosen.has(item.image_id);
  }

  // --- what is asked and comes

  async choices() {
    for (;;) {
      const told = await get(`/api/v1/browse/choices?annotator=${encodeURIComponent(this.identity.annotator)}`).catch(() => null);
      if (told && !told.ready) continue;
      if (!told) return;
      this.names = new Map(told.classes.map((each) => [each.class_id, each.name]));
      this.bar.offer(told);
      if (!this.map.root.hidden) this.map.draw();
      return;
    }
  }

  // Ask anew; where it `stays`, the window stays at its place and what is selected stays selected.
  async ask(stays = false) {
    const at = stays ? this.grid.first : 0;
    if (!stays) {
      this.chosen.clear();
      this.at = this.from = 0;
      if (this.bar.filter.lasso === "") this.map.clear();
    }
    this.fromTop = !stays;
    await this.windows.ask(this.bar.filter, this.identity.annotator, at, stays);
  }

  came() {
    const { windows } = this;
    if (windows.total !== null && (this.shown !== windows.view || this.grid.total !== windows.total)) {
      this.grid.set(windows.total, !this.fromTop);
      this.shown = windows.view;
      this.fromTop = windows.view === null;
      this.at = Math.max(0, Math.min(this.at, windows.total - 1));
    }
    this.fresh.hidden = !windows.stale;
    setText(this.bar.total, windows.total === null ? "" : `${number(windows.total)} ${windows.total === 1 ? "image" : "images"}${this.badge()}`);
    this.grid.refresh();
    this.tell();
    this.bulk.show();
    this.mark();
  }

  badge() {
    const { told } = this.windows;
    if (!told?.publication) return "";
    return `${told.calibrated ? "" : " · probabilities not calibrated"}${told.older ? " · suggestions of the model before" : ""}`;
  }

  tell() {
    const { sentence, problem, total } = this.windows;
    const nothing = total === 0 ? "No image is like that. Take a filter away, or add images on the Data tab." : "";
    const text = problem || (total === null ? sentence || "fetching …" : nothing);
    this.empty.hidden = !text;
    setText(this.empty, text);
  }

  mark() {
    this.list.setAttribute("aria-activedescendant", this.grid.cell(this.at) ? `bw-${this.at}` : "");
  }

  // --- what is chosen

  move(to, { extend = false, keep = false } = {}) {
    if (!this.windows.total) return;
    this.at = Math.max(0, Math.min(this.windows.total - 1, to));
    this.grid.reveal(this.at);
    if (extend) void this.range(this.from, this.at);
    else if (!keep) this.from = this.at;
    this.grid.refresh();
    this.mark();
    if (this.large.open && this.item()) void this.large.show(this.item());
  }

  only(i) {
    this.chosen.clear();
    this.toggle(i);
  }

  toggle(i) {
    this.at = this.from = i;
    const item = this.item(i);
    if (item && !this.chosen.delete(item.image_id)) this.add([item.image_id]);
    this.redraw();
  }

  async range(from, to) {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    const ids = [];
    for (let i = low; i <= high && ids.length <= MOST; i += 1) ids.push(this.windows.item(i)?.image_id);
    const all = ids.includes(undefined) ? await this.windows.stretch(low, Math.min(high, low + MOST - 1)).catch(() => []) : ids;
    this.chosen.clear();
    this.add(all);
    this.redraw();
  }

  add(ids) {
    for (const id of ids) if (id !== undefined && this.chosen.size < MOST) this.chosen.add(id);
    if (ids.length && this.chosen.size >= MOST) this.bulk.say(`${number(MOST)} images are selected, the most for one action`);
  }

  redraw() {
    this.grid.refresh();
    this.mark();
    this.bulk.show();
  }

  // The ids that an action is about: what is selected, else the image the keys stand on.
  ids() {
    if (this.large.open || !this.chosen.size) return this.item() ? [this.item().image_id] : [];
    return [...this.chosen];
  }

  // --- what keys and buttons do

  act(action) {
    const { columns, rowsInSight } = this.grid;
    const steps = { left: -1, right: 1, up: -columns, down: columns, pageup: -columns * rowsInSight, pagedown: columns * rowsInSight, back: -1, on: 1 };
    if (action in steps) return this.move(this.at + steps[action]);
    const acts = {
      first: () => this.move(0),
      last: () => this.move((this.windows.total ?? 1) - 1),
      select: () => this.toggle(this.at),
      all: () => void this.range(0, Math.min(MOST, this.windows.total ?? 0) - 1),
      open: () => this.item() && void this.large.show(this.item()),
      like: () => this.item() && this.alike(this.item()),
      map: () => this.toggleMap(),
      search: () => { this.bar.search.focus(); this.bar.search.select(); },
      help: () => this.sheet.toggle(),
      escape: () => this.escape(),
    };
    return acts[action] ? acts[action]() : this.bulk.act(action);
  }

  alike(item) {
    if (item.holdout) return this.bulk.say("blind answers to this image measure the model, which keeps quiet about it");
    this.large.close();
    return this.bar.set({ like: String(item.image_id), lasso: "" });
  }

  toggleMap() {
    this.map.root.hidden = !this.map.root.hidden;
    this.root.dataset.map = this.map.root.hidden ? "" : "yes";
    this.mapButton.setAttribute("aria-pressed", String(!this.map.root.hidden));
    if (!this.map.root.hidden) void this.map.load();
    if (!this.map.root.hidden) this.map.canvas.focus({ preventScroll: true });
  }

  escape() {
    if (this.sheet.open) this.sheet.close();
    else if (this.large.open) {
      this.large.close();
      this.list.focus({ preventScroll: true });
    } else if (this.chosen.size) this.chosen.clear();
    this.redraw();
  }
}
