// Labelling: one answer is one key; the next image is painted at once and the answer travels behind.

import * as answers from "./answers.js";
import { get, post } from "./api.js";
import * as besides from "./beside.js";
import * as controls from "./controls.js";
import * as crop from "./crop.js";
import { number, setText } from "./dom.js";
import * as empty from "./empty.js";
import { Evidence } from "./evidence.js";
import { Flagging } from "./flagging.js";
import { Guide } from "./guide.js";
import * as keys from "./keys.js";
import * as leases from "./leases.js";
import { ROOT } from "./login.js";
import { Panel } from "./panel.js";
import { Passing } from "./passing.js";
import * as pins from "./pins.js";
import { Reasons } from "./reasons.js";
import { Receipts } from "./receipts.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { Stock, prepare } from "./stock.js";
import * as undoing from "./undoing.js";
import { Walk } from "./walk.js";

const RENEW_MS = 60000;

export class Label {
  constructor(root, identity, status) {
    Object.assign(this, { root, identity, status });
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.classes = [];
    this.current = null;
    this.history = [];
    this.answeredToday = 0;
    this.timings = [];
    this.stage = new Stage(root, identity);
    this.panel = new Panel(root, { pick: (id, mode) => this.answer("label", { class_id: id }, mode), give: (code, mode) => this.reasons.give(code, mode), scene: () => this.beside.scene() });
    this.search = new Search(root, { pick: (id, event) => this.answer("label", { class_id: id }, "search", event), add: (name) => answers.addClass(this, name), source: () => this.searchable() });
    this.stock = new Stock({ claim: (count) => leases.claim(this.identity, count), answering: () => this.outbox.size, changed: () => this.fill(), now: () => performance.now() });
    this.outbox = answers.outbox(this);
    this.reasons = new Reasons(this);
    this.guide = new Guide(this);
    this.walk = new Walk(this);
    this.receipts = new Receipts(this);
    this.flagging = new Flagging(this);
    this.passing = new Passing(this);
    this.evidence = new Evidence(this);
    this.beside = new besides.Beside({ stage: this.stage, part: this.part, shown: () => this.current, caption: () => this.showMapCaption() });
    controls.dress(this);
    this.listen();
  }

  begin() {
    this.outbox.key = this.outbox.prefix + this.identity.client;
    this.outbox.adopt(Date.now());
    void this.stock.topUp();
    void this.loadClasses();
    void this.passing.hear();
    setInterval(() => this.keep(), RENEW_MS);
    this.showSaved();
  }

  // --- what comes in

  async loadClasses() {
    try {
      this.classes = (await get("/api/v1/classes")).classes;
      this.repaintPanel();
    } catch {
      // the status comes again in a moment and brings the classes along
    }
  }

  heard(value, away) {
    if (value) {
      pins.hear(this, value.classes);
      if (value.publication !== this.publication || !this.current || this.current.broken) void this.stock.topUp();
      this.publication = value.publication;
      void this.receipts.heard(value.publication);
      if (!this.outbox.size) this.answeredToday = value.labels?.mine_today ?? value.labels?.today ?? this.answeredToday;
    }
    if (!away && this.outbox.away) this.outbox.kick();
    this.showSaved();
    this.showEmpty();
    empty.notice(this.part("notice"), value);
  }

  fill() {
    if (this.current?.broken) this.loadAgain();
    if (!this.current) {
      const ready = this.stock.take();
      if (ready) this.show(ready);
    }
    this.showEmpty();
  }

  // What could not be loaded while the server was away comes once it is back.
  loadAgain() {
    if (this.loading) return;
    this.loading = prepare(this.current.item, () => {
      const ready = this.loading;
      this.loading = null;
      if (!ready.broken && this.current?.item.image_id === ready.item.image_id) this.show(ready, this.previous);
    });
  }

  // --- what is shown

  show(ready, previous = null) {
    if (this.evidence.open) this.evidence.end("");
    this.current = ready;
    this.previous = previous;
    this.stage.show(ready);
    this.panel.show(ready, this.classes, { previous });
    this.card?.follow();
    this.reasons.ask();
    this.showWhy(ready.item);
    this.showMapCaption();
    this.shown = { at: performance.now() };
    this.root.classList.toggle("rm-broken", ready.broken);
    if (previous && !this.walk.open) this.say(`undone: ${undoing.described(previous, this.classes)}`);
    this.flagging.left();
    this.passing.left();
    this.guide.greet();
    this.modes?.shown();
    requestAnimationFrame(() => (this.shown.at = performance.now()));
  }

  // What a person asks by name is not to be overlooked, and may be longer than the line.
  showWhy({ why = "", asked_by: asker = null }) {
    const part = this.part("why");
    setText(part, why);
    part.title = why;
    part.classList.toggle("rm-asked", asker !== null);
  }

  repaintPanel() {
    if (this.current && !this.reasons.open) this.panel.show(this.current, this.classes, { previous: this.previous });
    this.showEmpty();
  }

  showMapCaption() {
    const map = this.stage.current();
    const older = this.current?.item.older && map ? " (from an older model)" : "";
    const { beside } = this.stage;
    const told = beside ? besides.told(beside) : map ? `${map.caption}${older}` : this.whyNoMap();
    setText(this.part("map"), told);
    this.part("opacity").hidden = !map || beside !== null;
    crop.show(this.part("compare"), map, this.current);
  }

  whyNoMap() {
    if (!this.current || this.current.item.blind || !this.current.item.suggestions.length) return "";
    if (!this.current.maps.length) return this.current.item.reason.startsWith("study:") ? "" : "no map of this image yet";
    const key = keys.capOf("hide");
    return { always: `map hidden (${key} shows it)`, peek: `hold ${key} to see the map`, off: "maps are off" }[this.identity.wishes.maps];
  }

  showEmpty() {
    empty.show(this);
  }

  showSaved() {
    const waiting = this.outbox.size;
    const away = this.outbox.away !== null;
    const part = this.part("saved");
    part.dataset.state = away ? "away" : waiting ? "saving" : "saved";
    setText(part, away ? `${this.outbox.away}, ${number(waiting)} ${waiting === 1 ? "answer waits" : "answers waiting"} here` : waiting ? "saving …" : "saved");
    this.walk.count(this.answeredToday);
  }

  say(text, lasting = 2500) {
    clearTimeout(this.saying);
    setText(this.part("said"), text);
    this.saying = setTimeout(() => setText(this.part("said"), ""), lasting);
  }

  // --- answers: kind and fields as the server takes them, mode is how (key, click, touch, search)

  answer(kind, fields, mode, event = null) {
    answers.give(this, kind, fields, mode, event);
  }

  accept(mode, event) {
    answers.accept(this, mode, event);
  }

  reject(mode, event) {
    answers.reject(this, mode, event);
  }

  flag(mode) {
    answers.flag(this, mode);
  }

  undo() {
    undoing.undo(this);
  }

  landed(entry, reply) {
    answers.landed(this, entry, reply);
  }

  refused(entry, problem) {
    answers.refused(this, entry, problem);
  }

  next() {
    this.current = null;
    this.previous = null;
    const ready = this.stock.take();
    if (ready) this.show(ready);
    else {
      this.stage.clear();
      this.panel.clear();
      this.showWhy({});
      this.showMapCaption();
      void this.stock.topUp();
    }
    this.showEmpty();
  }

  // --- the tab itself

  keep() {
    if (this.current || this.stock.first) leases.renew(this.identity);
    this.outbox.adopt(Date.now());
    void this.passing.hear();
  }

  searchable() {
    const item = this.current?.item;
    return { classes: this.classes, suggestions: item && !item.blind ? item.suggestions : [] };
  }

  changeMap(change) {
    change();
    this.showMapCaption();
  }

  // Another person sits down: the images of the one before go back.
  rename(name) {
    this.modes?.reset();
    leases.release(this.identity);
    this.identity.rename(name);
    this.history = [];
    this.stock.forget();
    this.walk.leave();
    this.receipts.forget();
    this.passing.close();
    void this.passing.hear();
    this.next();
    void this.status.ask();
  }

  async logout() {
    await leases.giveBack(this.identity);
    await post("/logout");
    location.assign(`${ROOT}/login`);
  }

  listen() {
    window.addEventListener("pagehide", () => leases.release(this.identity));
    window.addEventListener("online", () => this.outbox.kick());
    this.status.listen((value, away) => this.heard(value, away));
  }
}
