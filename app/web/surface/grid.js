// A grid: a page of images of one class; the wrong ones are taken out, one key confirms the rest. Of which kind, grid_kinds.js says.

import { Refused, post } from "./api.js";
import { h, number, setText } from "./dom.js";
import { layout, step } from "./grid_layout.js";
import { KEPT, OUT, Page, SKIP } from "./grid_page.js";
import { uuid } from "./identity.js";

const AHEAD = 1; // pages claimed and decoded while one is judged
const REMEMBERED = 1500; // images taken out that this tab is not shown again for their class

export class Grid {
  // `modes` gives who(), measure() and showKeys(); `label` the outbox, the history and the counts.
  constructor(label, modes, kind) {
    Object.assign(this, { label, modes, kind, page: null, at: 0, named: null, stays: null, leftAt: Infinity, listed: [], problem: null, loading: false, asked: false, seen: null });
    this.pages = [];
    this.sent = new Map(); // confirmed, not on the server's disk yet: batch uuid -> page
    this.undos = new Map();
    this.struck = new Map(Object.entries(recall(kind.kept)).map(([id, ids]) => [Number(id), new Set(ids)]));
    this.element = this.#build();
    label.root.append(this.element);
    new ResizeObserver(() => this.#fit()).observe(this.stack);
  }

  #build() {
    this.title = h("h2", { class: "rg-title" });
    this.told = h("span", { class: "rg-told", role: "status", "aria-live": "polite" });
    this.choice = h("select", { class: "rg-choice", "aria-label": "Class of the page" });
    this.choice.addEventListener("change", () => this.pick(this.choice.value ? Number(this.choice.value) : null));
    this.stack = h("div", { class: "rg-stack" });
    this.nothing = h("p", { class: "rg-nothing", role: "status", hidden: true });
    return h("section", { class: "rg", "data-grid": this.kind.mode, "aria-label": this.kind.name }, h("header", { class: "rg-head" }, this.title, this.told, this.choice), this.stack, this.nothing);
  }

  get active() {
    return this.modes.mode === this.kind.mode;
  }

  // --- coming and going

  open() {
    if (!this.page) this.#next();
    else this.#show(this.page, this.at);
    this.fill();
  }

  // Forget every page: the leases have run out, or somebody else sits down.
  drop() {
    Object.assign(this, { page: null, pages: [], asked: false, named: null, stays: null });
    this.stack.replaceChildren();
  }

  pick(classId) {
    this.choice.blur();
    this.named = this.stays = classId;
    this.pages = [];
    this.page = null;
    this.asked = false;
    this.stack.replaceChildren();
    this.#next();
    this.fill();
  }

  // --- pages ahead

  fill() {
    if (this.active && !this.loading && this.pages.length < AHEAD + (this.page ? 0 : 1)) void this.#claim();
  }

  async #claim() {
    this.loading = true;
    const { named, stays } = this;
    const holding = [...(this.page?.ids ?? []), ...this.pages.flatMap((page) => page.ids), ...[...this.sent.values()].flatMap((page) => page.ids)];
    const without = Object.fromEntries([...this.struck].map(([id, ids]) => [id, [...ids]]));
    const { picture, count } = this.#size();
    let more = false;
    try {
      const told = await post(this.kind.page, { ...this.modes.who(this.kind.mode), count, class_id: stays, named: named !== null, holding, without, seen: this.seen });
      if (told.at) this.seen = Math.max(this.seen, told.at);
      this.problem = null;
      this.listed = told.classes;
      if (this.stays !== stays) more = true; // another class was picked meanwhile
      else if (told.images.length) {
        this.#wait(new Page(told, { kind: this.kind, wide: picture, picked: (i) => this.toggle(i, OUT) }));
        more = true;
      }
    } catch (problem) {
      this.problem = problem instanceof Refused ? problem.message : this.kind.away;
    }
    this.loading = false;
    this.asked = true;
    this.#list();
    this.#state();
    if (more) this.fill();
  }

  #wait(page) {
    this.pages.push(page);
    page.ahead(true);
    page.fit(...this.#room());
    this.stack.append(page.element);
    void page.loaded.then(() => this.page || this.#next());
  }

  #next() {
    const at = this.pages.findIndex((page) => page.ready);
    if (at < 0) {
      this.page = null;
      this.stack.replaceChildren();
      this.#state();
      return;
    }
    this.#show(this.pages.splice(at, 1)[0]);
  }

  #show(page, at = 0) {
    this.page = page;
    this.stays = page.told.class_id;
    this.at = at;
    page.ahead(false);
    page.fit(...this.#room());
    for (const shown of [...this.stack.children]) if (shown !== page.element && !shown.classList.contains("rg-ahead")) shown.remove();
    if (!page.element.isConnected) this.stack.append(page.element);
    this.#state();
    if (this.active) this.#focus();
    this.shownAt = performance.now();
    requestAnimationFrame(() => (this.shownAt = performance.now()));
  }

  // --- what is shown

  #room() {
    const { clientWidth, clientHeight } = this.stack;
    return [clientWidth || 320, clientHeight || 480];
  }

  #size() {
    return layout(...this.#room());
  }

  #fit() {
    if (this.stack.clientWidth) [this.page, ...this.pages].forEach((page) => page?.fit(...this.#room()));
  }

  #list() {
    const name = (each) => `${each.name} (${number(each.images)})`;
    const options = [h("option", { value: "" }, "the class with most images"), ...this.listed.map((each) => h("option", { value: each.class_id }, name(each)))];
    if (document.activeElement === this.choice) return;
    this.choice.replaceChildren(...options);
    this.choice.value = this.named ?? "";
    this.choice.hidden = !this.listed.length;
  }

  #state() {
    const { page } = this;
    setText(this.title, page ? this.kind.heading(page.told) : this.kind.title);
    setText(this.told, page ? this.#counted(page) : "");
    this.nothing.hidden = page !== null;
    const why = this.problem ?? (this.asked && !this.loading && !this.pages.length ? this.kind.none(this.named !== null) : "fetching images …");
    setText(this.nothing, page ? "" : why);
    this.modes.showKeys();
  }

  #counted(page) {
    const gone = page.count(OUT) + page.count(SKIP);
    const marks = [`${page.cells.length} ${page.cells.length === 1 ? "image" : "images"}`, gone ? `${gone} taken out` : "", ...this.kind.marks(page.told, this.label.publication)];
    return marks.filter(Boolean).join(" · ");
  }

  #focus() {
    this.page?.cells[this.at]?.element.focus({ preventScroll: true });
  }

  // --- what the person does

  move(arrow) {
    if (!this.page) return;
    this.at = step(this.at, arrow, this.page.cells.length, this.page.columns);
    this.#focus();
  }

  toggle(i, state) {
    if (!this.page?.cells[i]) return;
    this.at = i;
    this.page.toggle(i, state);
    this.#state();
  }

  confirm(event = null) {
    const { page, label } = this;
    if (!page) return;
    this.modes.measure(this.kind.mode, event?.timeStamp || performance.now());
    const said = page.answers(Math.max(0, performance.now() - this.shownAt), label.identity.annotator);
    const batch = uuid();
    this.sent.set(batch, page);
    label.outbox.push({ uuid: batch, path: this.kind.confirm, body: { ...this.modes.who(this.kind.mode), ...said } });
    label.history.push({ ready: null, body: { uuid: said.events[0]?.uuid ?? batch, kind: "page" }, back: () => this.#back(page, batch, said) });
    this.#remember(page, true);
    if (this.kind.counted) label.answeredToday += page.count(KEPT);
    this.#next();
    label.showSaved();
    this.fill();
  }

  // One undo takes back the whole page and shows it as it was.
  #back(page, batch, said) {
    const { label } = this;
    const targets = said.events.map((event) => event.uuid);
    const body = { ...this.modes.who(this.kind.mode), uuid: uuid(), targets, out: said.out, target: batch };
    this.sent.delete(batch);
    this.undos.set(body.uuid, page);
    if (targets.length) label.outbox.push({ uuid: body.uuid, path: this.kind.undo, body });
    this.#remember(page, false);
    if (this.kind.counted) label.answeredToday = Math.max(0, label.answeredToday - page.count(KEPT));
    if (this.page) {
      this.page.ahead(true);
      this.pages.unshift(this.page);
    }
    this.page = page;
    if (this.active) this.#show(page);
    else this.modes.show(this.kind.mode);
    label.say(this.kind.undone(page.told));
    label.showSaved();
  }

  // What was taken out does not come back to this tab for this class.
  #remember(page, out) {
    const gone = page.cells.filter((cell) => cell.state !== KEPT).map((cell) => cell.image_id);
    const ids = this.struck.get(page.told.class_id) ?? new Set();
    for (const id of gone) ids[out ? "add" : "delete"](id);
    this.struck.set(page.told.class_id, new Set([...ids].slice(-REMEMBERED)));
    keep(this.kind.kept, Object.fromEntries([...this.struck].map(([id, set]) => [id, [...set]])));
  }

  // --- what comes back

  landed(entry, reply) {
    this.sent.delete(entry.uuid);
    this.undos.get(entry.uuid)?.renew(reply.leases ?? {});
    if (reply.at) this.seen = Math.max(this.seen, reply.at);
    this.undos.delete(entry.uuid);
    this.fill();
  }

  refused(entry, problem) {
    this.sent.delete(entry.uuid);
    this.label.say(`a page was refused: ${problem.message}`, 15000);
  }
}

function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name) ?? "{}");
  } catch {
    return {};
  }
}

function keep(name, struck) {
  try {
    sessionStorage.setItem(name, JSON.stringify(struck));
  } catch {
    // a browser that forbids storage forgets at reload
  }
}
