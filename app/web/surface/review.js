// Reviewing: what is in doubt, one image at a time; every decision is one key, travels behind, and can be taken back.

import { get } from "./api.js";
import * as besides from "./beside.js";
import * as crop from "./crop.js";
import { number, setText } from "./dom.js";
import { uuid } from "./identity.js";
import { Panel } from "./panel.js";
import * as people from "./people.js";
import { KINDS, build, described, empty, saidRows } from "./review_view.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { prepare } from "./stock.js";

const FETCHED = 60;
const FEW = 10; // left before more are fetched
const AHEAD = 4; // images loaded ahead

export class Review {
  constructor(slot, { identity, status, label }) {
    Object.assign(this, { identity, status, label });
    this.kind = KINDS[0].kind;
    this.counts = {};
    this.items = [];
    this.at = 0;
    this.history = [];
    this.decided = new Set();
    this.ready = new Map();
    this.asked = null;
    this.version = 0; // grows with every decision and undo
    this.root = build(this);
    this.part = (name) => this.root.querySelector(`[data-part="${name}"]`);
    slot.replaceChildren(this.root);
    this.stage = new Stage(this.root, identity);
    this.panel = new Panel(this.root, { pick: (id, mode) => this.decide("label", { class_id: id }, mode), give: () => {}, scene: () => this.beside.scene() });
    this.search = new Search(this.root, {
      id: "rv-found", pick: (id) => this.decide("label", { class_id: id }, "search"), add: (name) => this.say(`there is no class ${name}: add it on the Classes tab first`),
      source: () => ({ classes: this.label.classes, suggestions: this.item?.suggestions ?? [] }),
    });
    label.review = this;
    this.beside = new besides.Beside({ stage: this.stage, part: this.part, shown: () => this.prepared(this.item), caption: () => this.caption() });
    this.show();
    status.listen((value) => this.heard(value));
    new IntersectionObserver(() => this.visible() && this.opened()).observe(this.root);
  }

  get item() {
    return this.items[this.at] ?? null;
  }

  visible() {
    return this.root.isConnected && this.root.checkVisibility();
  }

  opened() {
    void this.load();
    void people.show(this.part("people"));
    this.showSaved();
  }

  heard(value) {
    if (!value?.review) return;
    const told = JSON.stringify(value.review);
    if (told === this.told && value.publication === this.publication) return;
    Object.assign(this, { told, publication: value.publication });
    if (!this.visible() || this.label.outbox.size) return;
    void this.load();
    void people.show(this.part("people"));
  }

  // --- what comes in

  async load(kind = this.kind) {
    if (kind !== this.kind) Object.assign(this, { kind, items: [], at: 0, asked: null });
    const who = encodeURIComponent(this.identity.annotator);
    const { version } = this;
    let answer;
    try {
      answer = await get(`/api/v1/review?kind=${kind}&count=${FETCHED}&annotator=${who}`);
    } catch (problem) {
      this.asked = problem.message;
      return this.show();
    }
    if (kind !== this.kind) return null;
    // What was decided or undone meanwhile, or is still on its way, is unknown to this answer: ask again once it has landed.
    this.wanting = version !== this.version || this.label.outbox.size > 0;
    if (this.wanting && this.items.length) return null;
    this.counts = answer.counts;
    this.asked = "asked";
    const now = this.item?.image_id;
    const fresh = answer.images.filter((item) => !this.decided.has(key(kind, item.image_id)));
    const order = new Map(this.items.map((item, i) => [item.image_id, i]));
    this.items = fresh.sort((a, b) => (order.get(a.image_id) ?? Infinity) - (order.get(b.image_id) ?? Infinity));
    const at = this.items.findIndex((item) => item.image_id === now);
    this.at = at < 0 ? Math.min(this.at, Math.max(0, this.items.length - 1)) : at;
    return this.show();
  }

  // --- what is shown

  show() {
    const { item } = this;
    this.filters();
    this.root.dataset.empty = item ? "" : "yes";
    this.part("state").replaceChildren(...(item ? [] : empty(this)));
    this.part("said-by").replaceChildren(...(item ? saidRows(item) : []));
    if (!item) {
      this.stage.clear();
      this.panel.clear();
      setText(this.part("why"), "");
      setText(this.part("map"), "");
      return;
    }
    const ready = this.prepared(item);
    this.items.slice(this.at + 1, this.at + 1 + AHEAD).forEach((next) => this.prepared(next));
    this.stage.show(ready);
    this.panel.show(ready, this.label.classes, { previous: this.undone ?? null });
    setText(this.panel.note, "");
    setText(this.part("doubt"), item.why);
    setText(this.part("why"), `${this.at + 1} of ${number(Math.max(this.items.length, this.left(this.kind)))} · ${item.path}`);
    this.caption();
    this.shown = performance.now();
  }

  caption() {
    const { beside } = this.stage;
    const marked = this.item?.region ? "; the dashed box is what a person marked as evidence" : "";
    setText(this.part("map"), beside ? besides.told(beside) : `${this.stage.current()?.caption ?? ""}${marked}`);
    crop.show(this.part("compare"), this.stage.current(), this.item && this.prepared(this.item));
  }

  prepared(item) {
    if (!item) return null;
    const known = this.ready.get(item.image_id);
    if (known) return Object.assign(known, { item: dressed(item) });
    const ready = prepare(dressed(item), () => this.item?.image_id === item.image_id && this.show());
    ready.region = item.region ?? null;
    this.ready.set(item.image_id, ready);
    if (this.ready.size > 2 * FETCHED) this.ready.delete(this.ready.keys().next().value);
    return ready;
  }

  // Images that a list still holds: what the server counted, less what was decided since.
  left(kind) {
    const counted = Math.max(0, (this.counts[kind] ?? 0) - this.gone(kind));
    return kind === this.kind && this.asked === "asked" ? Math.max(this.items.length, counted) : counted;
  }

  filters() {
    for (const element of this.part("filters").children) {
      const { kind } = element.dataset;
      element.setAttribute("aria-pressed", String(kind === this.kind));
      setText(element.querySelector(".rv-number"), number(this.left(kind)));
    }
  }

  gone(kind) {
    return this.history.filter((each) => each.kind === kind && each.counted === this.counts).length;
  }

  showSaved() {
    const waiting = this.label.outbox.size;
    const away = this.label.outbox.away !== null;
    const part = this.part("saved");
    part.dataset.state = away ? "away" : waiting ? "saving" : "saved";
    setText(part, away ? `${this.label.outbox.away}, ${number(waiting)} waiting here` : waiting ? "saving …" : "saved");
  }

  say(text, lasting = 4000) {
    clearTimeout(this.saying);
    setText(this.part("said"), text);
    this.saying = setTimeout(() => setText(this.part("said"), ""), lasting);
  }

  // --- decisions

  keep(mode) {
    const now = this.item?.current;
    if (!this.item) return;
    if (!now) this.say("nobody has given a class yet: press its digit");
    else if (now.kind === "reject") this.decide("reject", { reason: now.reason }, mode);
    else this.decide("label", { class_id: now.class_id }, mode);
  }

  decide(decision, fields, mode) {
    const { item } = this;
    if (!item) return;
    const top = item.suggestions[0];
    const body = {
      uuid: uuid(), annotator: this.identity.annotator, client: this.identity.client, image_id: item.image_id, decision, seen: item.seen, ...fields,
      suggestion_class_id: top?.class_id ?? null, suggestion_probability: top?.probability ?? null, input_mode: mode, queue_reason: item.kind,
      shown_ms: Math.round(performance.now() - this.shown), client_at: Date.now() / 1000,
    };
    this.undone = null;
    this.version += 1;
    this.decided.add(key(this.kind, item.image_id));
    this.history.push({ item, kind: this.kind, at: this.at, body, counted: this.counts });
    this.items.splice(this.at, 1);
    this.at = Math.min(this.at, Math.max(0, this.items.length - 1));
    this.label.outbox.push({ uuid: body.uuid, path: "/api/v1/review", body });
    this.say(described(body, item, this.label.classes));
    this.show();
    if (this.items.length < FEW && (this.counts[this.kind] ?? 0) > this.items.length) this.wanting = true;
  }

  later() {
    if (!this.item) return;
    this.items.push(...this.items.splice(this.at, 1));
    if (this.at >= this.items.length - 1) this.at = 0;
    this.show();
  }

  move(step) {
    if (!this.items.length) return;
    this.at = Math.max(0, Math.min(this.items.length - 1, this.at + step));
    this.show();
  }

  undo() {
    this.version += 1;
    const last = this.history.pop();
    const body = { uuid: uuid(), annotator: this.identity.annotator, target: last?.body.uuid ?? null };
    this.label.outbox.push({ uuid: body.uuid, path: "/api/v1/review/undo", body });
    if (last) this.putBack(last);
    else this.say("asking the server for your decision before …");
  }

  putBack({ item, kind, at, body }) {
    this.decided.delete(key(kind, item.image_id));
    if (kind !== this.kind) Object.assign(this, { kind, items: [], at: 0, asked: null });
    this.items = this.items.filter((each) => each.image_id !== item.image_id);
    this.at = Math.min(at, this.items.length);
    this.items.splice(this.at, 0, item);
    this.undone = body;
    this.say(`undone: ${described(body, item, this.label.classes)}`);
    this.show();
  }

  // --- what comes back

  landed(entry, reply) {
    if (entry.path.endsWith("/undo") && !entry.body.target) {
      this.say(reply.undone ? `taken back: your decision about image ${reply.image_id}` : "nothing left to undo");
    }
    if (this.label.outbox.size) return;
    if (this.wanting || entry.path.endsWith("/undo")) void this.load();
    void this.status.ask();
  }

  refused(entry, problem) {
    const at = this.history.findIndex((each) => each.body.uuid === entry.uuid);
    if (at >= 0) this.decided.delete(key(this.history[at].kind, this.history.splice(at, 1)[0].item.image_id));
    this.say(`refused: ${problem.message}`, 15000);
    void this.load();
  }
}

const key = (kind, id) => `${kind}/${id}`;

// As the panel wants it: what counts now first (Enter keeps it), then what others said, then the model's classes.
function dressed(item) {
  const share = new Map(item.suggestions.map((each) => [each.class_id, each]));
  const named = [item.current?.class_id, ...item.said.map((each) => each.class_id)].filter((id) => id !== null && id !== undefined);
  const said = [...new Set(named)].map((id) => share.get(id) ?? { class_id: id, name: item.said.find((each) => each.class_id === id)?.name ?? "", probability: null });
  const others = item.suggestions.filter((each) => !named.includes(each.class_id));
  return { ...item, blind: false, calibrated: true, publication: 0, suggestions: [...said, ...others] };
}
