// The modes: which is shown, its keys and buttons, and the proposal of the one that costs least.

import { get } from "./api.js";
import { afterFrame, button, h, setText } from "./dom.js";
import { Grid } from "./grid.js";
import { EVIDENCE, HELD } from "./grid_kinds.js";
import { OUT, SKIP } from "./grid_page.js";
import { hint } from "./key_hints.js";
import * as keys from "./keys.js";
import * as leases from "./leases.js";
import { PAGED, meaning } from "./mode_keys.js";
import { YesNo } from "./yesno.js";

const RENEW_MS = 60000;
const LASTS_MS = 240000; // pages left behind are dropped before their leases run out

export class Modes {
  constructor(label) {
    Object.assign(this, { label, mode: "single", timings: { grid: [], yesno: [], evidence: [] }, publication: null, proposed: null });
    this.grid = new Grid(label, this, HELD);
    this.evidence = new Grid(label, this, EVIDENCE);
    this.yesno = new YesNo(label, this);
    this.#buttons();
    document.addEventListener("keydown", (event) => this.#pressed(event), true);
    document.addEventListener("keyup", (event) => this.paged && event.key === " " && this.#mine(event) && event.preventDefault(), true);
    window.addEventListener("pagehide", () => this.#used.forEach((kind) => leases.release(this.who(kind))));
    label.status.listen((value, away) => this.#heard(value, away));
    setInterval(() => this.mode !== "single" && leases.renew(this.who(this.mode)), RENEW_MS);
  }

  #used = new Set();

  // The grid that is shown, if one is.
  get paged() {
    return [this.grid, this.evidence].find((each) => each.active) ?? null;
  }

  // Each mode's leases are kept apart from those of the single image.
  who(kind) {
    const { annotator, client } = this.label.identity;
    return { annotator, client: `${client}:${kind}` };
  }

  // --- which mode

  show(mode, why = "") {
    if (mode === this.mode) return;
    const before = this.mode;
    this.mode = mode;
    if (before === "yesno") this.yesno.leave();
    const left = [this.grid, this.evidence].find(({ kind }) => kind.mode === before);
    if (left) left.leftAt = performance.now();
    this.#dress();
    if (mode === "grid" || mode === "yesno") this.#used.add(mode);
    if (this.paged) {
      if (performance.now() - this.paged.leftAt > LASTS_MS) this.paged.drop();
      this.paged.open();
    } else document.activeElement?.closest?.(".rg")?.blur?.();
    if (mode === "yesno") this.yesno.enter();
    this.label.stage.layout();
    if (why) this.label.say(why, 6000);
    this.showKeys();
    this.yesno.shown();
    void this.#propose();
  }

  // The boxes proposed for one class, from wherever a person asks for them.
  showEvidence(classId) {
    this.show("evidence");
    this.evidence.pick(classId);
  }

  #dress() {
    const { root } = this.label;
    root.dataset.view = this.mode;
    root.toggleAttribute("data-paged", PAGED.includes(this.mode));
    for (const each of [this.grid, this.evidence]) each.element.hidden = !each.active;
  }

  // Another person sits down.
  reset() {
    this.#used.forEach((kind) => leases.release(this.who(kind)));
    this.grid.drop();
    this.evidence.drop();
    this.yesno.drop();
    this.show("single");
  }

  // --- keys and buttons

  #mine(event) {
    const { root } = this.label;
    return root.checkVisibility() && root.dataset.mode === "label" && !keys.typing(event.target);
  }

  // Before the single image's own keys: in the grid they all mean something else, or nothing.
  #pressed(event) {
    const help = this.label.part("help");
    if (!this.#mine(event) || help.contains(event.target) || (!help.hidden && event.key === "Escape")) return;
    const meant = meaning(event, this.mode);
    if (meant) {
      event.preventDefault();
      this.act(meant, event);
    }
    if (meant || (this.paged && keys.meaning(event)?.action !== "help")) event.stopImmediatePropagation();
  }

  act(action, event = null) {
    const { paged, yesno, label } = this;
    const actions = {
      evidence: () => this.show(this.mode === "evidence" ? "single" : "evidence"),
      grid: () => this.show(this.mode === "grid" ? "single" : "grid"),
      yesno: () => this.show("yesno"),
      single: () => this.show("single"),
      yes: () => yesno.yes("yesno", event),
      no: () => yesno.no(),
      move: () => paged.move(event.key),
      out: () => paged.toggle(paged.at, OUT),
      skip: () => paged.toggle(paged.at, SKIP),
      confirm: () => paged.confirm(event),
      undo: () => label.undo(),
    };
    actions[action]();
  }

  #buttons() {
    const make = (action, key, text) => {
      const element = button(h("kbd", { "data-key": key }, key), (_, event) => this.act(action, event), { class: "rm-key", "data-mode-action": action });
      element.append(h("span", {}, text));
      return element;
    };
    this.switches = [make("grid", "grid", "grid"), make("yesno", "yesno", "yes/no"), make("single", "Esc", "single")];
    this.label.part("keys").append(...this.switches);
    this.more = make("evidence", "more", "more");
    Object.assign(this.more, { title: "the evidence grid", ariaLabel: "more evidence: the evidence grid" });
    this.label.part("mark").append(this.more);
    this.confirming = make("confirm", "accept", "confirm");
    const help = button(hint("help"), () => this.label.sheet.toggle(), { class: "rm-key" });
    help.append("keys");
    this.skipping = make("skip", "skip", "not this");
    const row = [this.confirming, make("out", "space", "take out"), this.skipping, make("undo", "undo", "undo"), make("single", "Esc", "single"), help];
    this.gridKeys = h("div", { class: "rm-keys rg-keys", role: "toolbar", "aria-label": "Answers for the page" }, ...row);
    this.label.part("keys").after(this.gridKeys);
    this.proposal = button("", () => this.#follow(), { class: "rm-proposal", hidden: true });
    this.label.part("said").before(this.proposal);
    this.showKeys();
  }

  showKeys() {
    if (!this.gridKeys) return;
    for (const each of [...this.switches, this.more, ...this.gridKeys.children].map((element) => element.querySelector("kbd"))) {
      if (each.dataset.key) setText(each, keys.capOf(each.dataset.key) || each.dataset.key);
    }
    const [, yesno, single] = this.switches;
    yesno.hidden = this.mode === "yesno";
    single.hidden = this.mode !== "yesno";
    this.more.hidden = !this.label.status.value?.evidence;
    this.skipping.hidden = this.mode === "evidence";
    const page = (this.paged ?? this.grid).page;
    this.confirming.disabled = !page;
    setText(this.confirming.querySelector("span"), page ? `confirm ${page.cells.length - page.count(OUT) - page.count(SKIP)}` : "confirm");
  }

  // --- the proposal: told in the status line, never followed by itself

  #heard(value, away) {
    if (away || !value) return;
    this.paged?.fill();
    this.showKeys();
    if (value.publication === this.publication) return;
    this.publication = value.publication;
    void this.#propose();
  }

  async #propose() {
    const { mode } = this;
    if (mode === "evidence") {
      this.proposal.hidden = true;
      return;
    }
    try {
      const who = new URLSearchParams({ annotator: this.label.identity.annotator, mode });
      const told = await get(`/api/v1/modes?${who}`);
      if (mode === this.mode) this.proposed = told.proposal;
    } catch {
      this.proposed = null; // the server is away; it is asked again when it is back
    }
    this.proposal.hidden = !this.proposed;
    if (!this.proposed) return;
    const told = proposal(this.proposed);
    this.proposal.replaceChildren(...[told.way, told.cost].map((line) => h("span", {}, line)));
    this.proposal.title = `${told.way}: ${told.cost}: ${told.key}`;
    this.proposal.prepend(h("kbd", {}, told.key));
  }

  #follow() {
    if (this.proposed) this.act(this.proposed.mode);
  }

  // --- what comes back, and what is shown, by way of the label object

  hears(entry) {
    return [this.grid, this.evidence].find(({ kind }) => entry.path.startsWith(kind.path)) ?? null;
  }

  shown() {
    this.yesno.shown();
  }

  says(item) {
    return this.yesno.says(item);
  }

  // Milliseconds from the key's event to the first task after the frame that shows what follows.
  measure(mode, pressed) {
    afterFrame(() => this.timings[mode].push(performance.now() - pressed));
  }
}

const WAYS = { grid: "grid", yesno: "yes or no", single: "single images" };

// "g  grid for Song Sparrow: about 0.4 s an image instead of 2.1"
export function proposal({ mode, name, seconds, instead }) {
  const way = WAYS[mode];
  return { key: keys.capOf(mode) || "Esc", way: name ? `${way} for ${name}` : way, cost: `about ${seconds.toFixed(1)} s an image instead of ${instead.toFixed(1)}` };
}
