// Labelling: one answer is one key; the next image is painted at once and the answer travels behind.

import { Refused, get, post } from "./api.js";
import * as choices from "./choices.js";
import * as controls from "./controls.js";
import { number, setText } from "./dom.js";
import * as empty from "./empty.js";
import { uuid } from "./identity.js";
import * as leases from "./leases.js";
import { Outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import * as pins from "./pins.js";
import { Reasons } from "./reasons.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { Stock, prepare } from "./stock.js";

const RENEW_MS = 60000;
const KEPT = 40; // answered images kept decoded for undo

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
    this.panel = new Panel(root, { pick: (id, mode) => this.answer("label", { class_id: id }, mode), give: (code, mode) => this.reasons.give(code, mode) });
    this.search = new Search(root, { pick: (id, event) => this.answer("label", { class_id: id }, "search", event), add: (name) => this.addAndAnswer(name), source: () => this.searchable() });
    this.stock = new Stock({ claim: (count) => leases.claim(this.identity, count), answering: () => this.outbox.size, changed: () => this.fill(), now: () => performance.now() });
    this.outbox = this.makeOutbox();
    this.reasons = new Reasons(this);
    controls.dress(this);
    this.listen();
  }

  makeOutbox() {
    return new Outbox({
      storage: localStorage, client: this.identity.client, send: (path, body) => post(path, body),
      isRefusal: (problem) => problem instanceof Refused,
      changed: () => {
        this.showSaved();
        this.review?.showSaved();
      },
      answered: (entry, reply) => this.heardBy(entry).landed(entry, reply), refused: (entry, problem) => this.heardBy(entry).refused(entry, problem),
    });
  }

  // Labels and reviews leave through one outbox; what comes back goes to whoever sent it.
  heardBy(entry) {
    return this.review && entry.path.startsWith("/api/v1/review") ? this.review : this;
  }

  begin() {
    this.outbox.key = `raum.outbox.${this.identity.client}`;
    this.outbox.adopt(Date.now());
    void this.stock.topUp();
    void this.loadClasses();
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
    this.current = ready;
    this.previous = previous;
    this.stage.show(ready);
    this.panel.show(ready, this.classes, { previous });
    this.card?.follow();
    this.reasons.ask();
    setText(this.part("why"), ready.item.why ?? "");
    this.showMapCaption();
    this.shown = { at: performance.now() };
    this.root.classList.toggle("rm-broken", ready.broken);
    if (previous) this.say(`undone: ${described(previous, this.classes)}`);
    requestAnimationFrame(() => (this.shown.at = performance.now()));
  }

  repaintPanel() {
    if (this.current && !this.reasons.open) this.panel.show(this.current, this.classes, { previous: this.previous });
    this.showEmpty();
  }

  showMapCaption() {
    const map = this.stage.current();
    const older = this.current?.item.older && map ? " (from an older model)" : "";
    setText(this.part("map"), map ? `${map.caption}${older}` : this.whyNoMap());
    this.part("opacity").hidden = !map;
  }

  whyNoMap() {
    if (!this.current || this.current.item.blind || !this.current.item.suggestions.length) return "";
    return this.current.maps.length ? "map hidden (h shows it)" : "no map of this image yet";
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
    setText(this.part("today"), `${number(this.answeredToday)} today`);
  }

  say(text, lasting = 2500) {
    clearTimeout(this.saying);
    setText(this.part("said"), text);
    this.saying = setTimeout(() => setText(this.part("said"), ""), lasting);
  }

  // --- answers

  answer(kind, fields, mode, event = null) {
    const ready = this.current;
    if (!ready) return;
    const pressed = event?.timeStamp || performance.now();
    const body = { ...this.recorded(ready, mode), kind, ...fields };
    this.outbox.push({ uuid: body.uuid, path: "/api/v1/events", body });
    this.stock.answered(ready.item.image_id);
    this.history.push({ ready, body });
    if (this.history.length > KEPT) this.history.shift();
    this.answeredToday += kind === "skip" ? 0 : 1;
    this.next();
    this.showSaved();
    this.measure(pressed);
  }

  recorded(ready, mode) {
    const { item } = ready;
    const top = choices.accepted(item);
    const map = this.stage.current();
    return {
      uuid: uuid(), annotator: this.identity.annotator, client: this.identity.client, image_id: item.image_id, lease: item.lease,
      publication: item.publication, round: item.round, queue_reason: item.reason, position: item.position, propensity: item.propensity,
      suggestion_class_id: top?.class_id ?? null, suggestion_probability: top?.probability ?? null, suggestion_visible: top !== null,
      overlay_kind: map?.kind ?? null, overlay_visible: map !== null,
      shown_ms: Math.max(0, Math.round(performance.now() - this.shown.at)), input_mode: mode, client_at: Date.now() / 1000,
    };
  }

  next() {
    this.current = null;
    this.previous = null;
    const ready = this.stock.take();
    if (ready) this.show(ready);
    else {
      this.stage.clear();
      this.panel.clear();
      setText(this.part("why"), "");
      this.showMapCaption();
      void this.stock.topUp();
    }
    this.showEmpty();
  }

  measure(pressed) {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      this.timings.push(performance.now() - pressed);
      channel.port1.close();
    };
    requestAnimationFrame(() => channel.port2.postMessage(null));
  }

  accept(mode, event) {
    const top = this.current && choices.accepted(this.current.item);
    if (top) this.answer("label", { class_id: top.class_id }, mode, event);
    else if (this.current) this.say(this.current.item.blind ? "asked blind: press the digit of its class" : "no suggestion yet: press the digit of its class");
  }

  reject(mode, event) {
    if (!this.current) return;
    const ready = this.current;
    const body = this.recorded(ready, mode);
    this.reasons.end();
    if (this.identity.wishes.reasons) this.reasons.begin(ready, body);
    this.answer("reject", { reason: null }, mode, event);
    this.reasons.ask();
  }

  flag(mode) {
    if (!this.current) return;
    const body = { ...this.recorded(this.current, mode), kind: "flag" };
    this.outbox.push({ uuid: body.uuid, path: "/api/v1/events", body });
    this.say("flagged for discussion");
  }

  async addAndAnswer(name) {
    const ready = this.current;
    this.say(`adding ${name} …`);
    try {
      const added = await post("/api/v1/classes", { name });
      await this.loadClasses();
      if (ready && this.current === ready) this.answer("label", { class_id: added.class_id }, "search");
      this.say(`added ${added.name}`);
    } catch (problem) {
      this.say(problem instanceof Refused ? problem.message : "server away: a new class has to wait", 5000);
    }
  }

  undo() {
    this.reasons.end();
    const last = this.history.pop();
    const body = { uuid: uuid(), annotator: this.identity.annotator, client: this.identity.client, target: last?.body.uuid ?? null };
    if (last) {
      this.stock.putBack(this.current);
      this.stock.show(last.ready);
      this.show(last.ready, last.body);
      this.answeredToday = Math.max(0, this.answeredToday - (last.body.kind === "skip" ? 0 : 1));
    } else this.say("asking the server for your answer before …");
    this.outbox.push({ uuid: body.uuid, path: "/api/v1/undo", body });
    this.showEmpty();
  }

  // --- what comes back

  landed(entry, reply) {
    if (entry.path.endsWith("/undo")) this.undone(entry, reply);
    else this.stock.settled(entry.body.image_id);
    void this.stock.topUp();
  }

  undone(entry, reply) {
    if (!reply.undone || !reply.item) {
      if (!entry.body.target) this.say("nothing left to undo");
      return;
    }
    if (this.current?.item.image_id === reply.item.image_id) {
      this.current.item = { ...this.current.item, lease: reply.item.lease };
      return;
    }
    if (entry.body.target) return;
    const ready = prepare(reply.item, () => {
      if (!ready.done || ready.placed) return;
      ready.placed = true;
      this.stock.putBack(this.current);
      this.stock.show(ready);
      this.show(ready, reply.item.previous);
    });
  }

  refused(entry, problem) {
    this.say(`one answer was refused: ${problem.message}`, 15000);
    this.stock.settled(entry.body.image_id);
  }

  keep() {
    if (this.current || this.stock.first) leases.renew(this.identity);
    this.outbox.adopt(Date.now());
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
    leases.release(this.identity);
    this.identity.rename(name);
    this.history = [];
    this.stock.waiting = [];
    this.next();
    void this.status.ask();
  }

  listen() {
    window.addEventListener("pagehide", () => leases.release(this.identity));
    window.addEventListener("online", () => this.outbox.kick());
    this.status.listen((value, away) => this.heard(value, away));
  }
}

function described(body, classes) {
  if (body.kind === "label") return classes.find((each) => each.class_id === body.class_id)?.name ?? "a label";
  return body.kind === "reject" ? "rejected" : body.kind;
}
