// The right-hand panel: classes on digits with the model's probabilities, reasons after a reject, the contrast strip.

import * as choices from "./choices.js";
import { button, h, percent, setText } from "./dom.js";
import { Inset } from "./inset.js";
import * as keys from "./keys.js";

export const REASONS = [
  ["bad_image", "bad image"],
  ["none_of_the_classes", "none of the classes"],
  ["other", "other"],
];

export class Panel {
  // pick(class_id, mode) answers; give(reason, mode) names the reason of the reject just made; scene() shows the scene large.
  constructor(root, { pick, give, scene }) {
    this.note = root.querySelector('[data-part="note"]');
    this.list = root.querySelector('[data-part="choices"]');
    this.compare = root.querySelector('[data-part="compare"]');
    this.inset = new Inset(this.compare, scene);
    this.rows = [];
    this.slots = Array.from({ length: choices.DIGITS }, (_, i) => this.#slot(i, pick));
    this.reasons = REASONS.map(([code, text], i) =>
      button(h("span", { class: "rm-name-of" }, text), (mode) => give(code, mode), { class: "rm-choice rm-reason rm-lead", "data-digit": i + 1 }),
    );
    this.reasons.forEach((element) => element.prepend(h("kbd", {}, "")));
    this.relabel();
  }

  // The keys on the choices as this person has them.
  relabel() {
    const elements = [...this.slots.map((slot) => slot.element), ...this.reasons];
    elements.forEach((element, i) => setText(element.querySelector("kbd"), keys.capOf(`digit${(i % choices.DIGITS) + 1}`)));
  }

  #slot(i, pick) {
    const name = h("span", { class: "rm-name-of" });
    const share = h("span", { class: "rm-share" });
    const bar = h("span", { class: "rm-bar" });
    const element = button(h("kbd", {}, ""), (mode) => this.rows[i] && pick(this.rows[i].class_id, mode), { class: "rm-choice" });
    element.append(name, share, h("span", { class: "rm-track", "aria-hidden": "true" }, bar));
    return { element, name, share, bar };
  }

  show(ready, classes, { previous = null } = {}) {
    const { item } = ready;
    this.rows = choices.rows(item, classes);
    this.slots.forEach((slot, i) => this.#fill(slot, this.rows[i], previous));
    if (this.list.firstChild !== this.slots[0].element) {
      this.list.replaceChildren(...this.slots.map((slot) => slot.element));
      this.list.style.minHeight = "";
    }
    setText(this.note, noted(item, classes));
    this.note.classList.toggle("rm-blind", item.blind);
    this.inset.show(item);
    this.#contrast(ready);
  }

  #fill(slot, row, previous) {
    slot.element.hidden = !row;
    if (!row) return;
    setText(slot.name, row.name);
    slot.name.dataset.key = row.key;
    setText(slot.share, row.probability === null ? "" : percent(row.probability));
    slot.bar.style.transform = `scaleX(${row.probability ?? 0})`;
    slot.element.classList.toggle("rm-top", row.top);
    slot.element.classList.toggle("rm-lead", row.lead);
    slot.element.classList.toggle("rm-before", previous?.class_id === row.class_id);
    slot.element.title = row.name;
  }

  askReason() {
    setText(this.note, "rejected. Why? (or Esc)");
    this.list.style.minHeight = `${this.list.offsetHeight}px`; // nothing jumps: the list keeps its height
    this.list.replaceChildren(...this.reasons);
  }

  clear() {
    this.rows = [];
    this.list.replaceChildren();
    this.compare.replaceChildren();
    this.inset.show(null);
    setText(this.note, "");
  }

  #contrast(ready) {
    if (!ready.near.length) {
      this.compare.replaceChildren();
      return;
    }
    const groups = ready.near.map((group) =>
      h("figure", { class: "rm-group" }, h("figcaption", { title: group.name }, group.name), h("div", { class: "rm-near" }, ...group.elements)),
    );
    this.compare.replaceChildren(h("h3", {}, "compare: nearest labelled images"), ...groups);
  }
}

function noted(item, classes) {
  if (!classes.length) return "";
  const kept = classes.length > choices.DIGITS ? `first ${choices.DIGITS} of ${classes.length} classes; / finds the others` : "classes in their own order";
  if (item.blind) return `asked blind · ${kept}`;
  if (!item.suggestions.length) return `${item.publication && item.reason !== "typical" ? "not ranked yet" : "no model yet"} · ${kept}`;
  const marks = [];
  if (item.older) marks.push(item.round ? `older model, round ${item.round}` : "older model");
  if (!item.calibrated) marks.push("probabilities not calibrated yet");
  return marks.length ? marks.join(" · ") : "calibrated probabilities";
}
