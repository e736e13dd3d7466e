// The Classes tab: what may be said, in which order, under which keys; every change at once, told, and undone by z.

import { Refused, get, post } from "./api.js";
import { Detail } from "./classes_detail.js";
import { List } from "./classes_list.js";
import * as model from "./classes_model.js";
import * as view from "./classes_view.js";
import { number, setText } from "./dom.js";
import { openTab } from "./empty.js";
import * as keys from "./keys.js";

export class Classes {
  constructor(slot, { status, identity, label }) {
    Object.assign(this, { status, identity, label });
    this.told = { classes: [], gone: [], act: 0 };
    this.last = Promise.resolve();
    this.all = true; // the history of all classes, not of the chosen one
    this.list = new List({
      select: (id, byHand) => this.chose(id, byHand), rename: (id, name) => this.change(id, { act: "rename", name }),
      move: (id, { parent_id, before }) => this.change(id, { act: "move", parent_id, before }), act: (name, id) => this.act(name, id),
    });
    this.detail = new Detail({ change: (id, body) => this.change(id, body), step: (id, how) => this.act(how, id), known: () => this.told, back: () => this.back(), evidence: (id) => this.toEvidence(id) });
    this.root = view.build(this);
    this.part = (name) => this.root.querySelector(`[data-part="${name}"]`);
    slot.replaceChildren(this.root);
    status.listen((value) => this.heard(value));
    new IntersectionObserver(() => this.visible() && this.load()).observe(this.root);
  }

  toEvidence(id) {
    openTab("Label");
    this.label.modes.showEvidence(id);
  }

  visible() {
    return this.root.isConnected && this.root.checkVisibility();
  }

  heard(value) {
    if (!value || !this.visible()) return;
    const counts = new Map((value.classes ?? []).map((each) => [each.class_id, each.count]));
    const moved = this.told.classes.some((each) => counts.has(each.class_id) && counts.get(each.class_id) !== each.count);
    if (value.class_act !== this.told.act || moved) void this.load();
  }

  async load() {
    const told = await get("/api/v1/taxonomy").catch((problem) => ({ problem }));
    if (told.problem) return this.say(told.problem instanceof Refused ? told.problem.message : "server away: the list may be old", true);
    if (told.act < this.told.act) return null; // a newer one has come before it
    this.told = told;
    this.show();
    return this.loadHistory();
  }

  async loadHistory() {
    const id = this.all ? null : this.list.current?.class_id;
    const answer = await get(`/api/v1/taxonomy/history?count=40${id ? `&class_id=${id}` : ""}`).catch(() => null);
    if (answer) view.history(this, answer.acts);
  }

  show() {
    const { classes, gone } = this.told;
    this.list.show(model.rows(this.told, this.part("find").value), Math.max(...classes.map((each) => each.count), 1));
    const labels = classes.reduce((sum, each) => sum + each.count, 0);
    setText(this.part("sum"), `${number(classes.length)} ${classes.length === 1 ? "class" : "classes"} · ${number(labels)} ${labels === 1 ? "label" : "labels"}${gone.length ? ` · ${number(gone.length)} out of use` : ""}`);
    this.root.dataset.none = classes.length || gone.length ? "" : "yes";
    this.detail.show(this.list.current);
  }

  chose(id, byHand) {
    this.detail.busy = false;
    this.detail.show(this.list.current);
    if (byHand) this.root.dataset.open = "yes"; // where there is room for one of the two only
    if (!this.all) void this.loadHistory();
  }

  back() {
    this.root.dataset.open = "";
    this.list.root.focus();
  }

  say(text, bad = false) {
    clearTimeout(this.saying);
    const place = this.part("said");
    setText(place, text);
    place.dataset.bad = bad ? "yes" : "";
    this.saying = setTimeout(() => setText(place, ""), bad ? 15000 : 5000);
  }

  // --- changes

  act(name, id) {
    if (name === "merge" || name === "retire") {
      this.list.choose(id);
      this.detail[name]();
      return;
    }
    void this.inTurn(() => {
      const place = model.step(this.told.classes, id, name);
      if (place) return this.send(`/api/v1/classes/${id}`, { act: "move", ...place, seen: this.told.act }, `saved: ${keys.capOf("undo")} undoes it`);
      return this.say("there is no further to go");
    });
  }

  // Keys may come faster than the server answers: each change waits for the one before and for the list that it left.
  inTurn(act) {
    this.last = this.last.then(act);
    return this.last;
  }

  async change(id, body) {
    if (typeof body === "string") {
      this.say(body, true);
      return false;
    }
    return this.inTurn(() => this.send(`/api/v1/classes/${id}`, { ...body, seen: this.told.act }, `saved: ${keys.capOf("undo")} undoes it`));
  }

  async undo(seq = null) {
    return this.inTurn(() => this.send("/api/v1/taxonomy/undo", { seq }, "undone"));
  }

  // Sends one change; whatever comes of it is told, and the list is read again.
  async send(path, body, done) {
    let said = null;
    try {
      const answer = await post(path, { ...body, annotator: this.identity.annotator });
      this.say(answer.undone === null ? "nothing of yours is left to undo" : done);
    } catch (problem) {
      said = problem instanceof Refused ? problem.message : "server away: nothing was changed";
      this.say(said, true);
    }
    await this.load();
    void this.status.ask();
    return said === null;
  }

  async add(text) {
    const names = text.split("\n").map((each) => each.trim()).filter(Boolean);
    let last = null;
    for (const name of names) {
      try {
        last = (await post("/api/v1/classes", { name, annotator: this.identity.annotator })).class_id;
      } catch (problem) {
        this.say(problem instanceof Refused ? problem.message : "server away: nothing was added", true);
        break;
      }
    }
    if (last === null) return false;
    if (names.length > 1) this.say(`added ${number(names.length)} classes`);
    await this.load();
    this.list.choose(last, false);
    void this.status.ask();
    return true;
  }
}
