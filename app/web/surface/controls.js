// Keys and buttons of the labelling surface: what is pressed becomes a call of the label object.

import { button, h, setText } from "./dom.js";
import * as keys from "./keys.js";
import { KeySheet } from "./keysheet.js";

// [action, what its button says]
const BUTTONS = [
  ["accept", "accept"],
  ["reject", "reject"],
  ["skip", "skip"],
  ["flag", "flag"],
  ["undo", "undo"],
  ["cycle", "map"],
  ["help", "keys"],
];

export function dress(label) {
  buttons(label);
  name(label);
  strength(label);
  label.sheet = new KeySheet(label, () => relabel(label));
  document.addEventListener("keydown", (event) => pressed(label, event));
  // A tab that was clicked keeps no focus, or Enter would press it again instead of accepting.
  document.addEventListener("click", (event) => event.detail && event.target.closest?.("[role=tab]")?.blur());
}

function pressed(label, event) {
  if (!label.root.checkVisibility() || label.root.dataset.mode !== "label") return;
  const meant = keys.meaning(event);
  if (!meant || (meant.action !== "digit" && !ACTS[meant.action])) return;
  event.preventDefault();
  if (meant.action === "digit") digit(label, meant.digit, event);
  else act(label, meant.action, "key", event);
}

// What each action does: (label, mode, event).
const ACTS = {
  accept: (label, mode, event) => label.accept(mode, event),
  reject: (label, mode, event) => label.reject(mode, event),
  skip: (label, mode, event) => label.answer("skip", {}, mode, event),
  flag: (label, mode) => label.flag(mode),
  undo: (label) => label.undo(),
  search: (label) => label.search.open(),
  help: (label) => label.sheet.toggle(),
  cycle: (label) => label.changeMap(() => label.stage.cycle()),
  hide: (label) => label.changeMap(() => label.stage.toggle()),
  escape: (label) => {
    label.sheet.close();
    label.reasons.end();
  },
};

export function act(label, action, mode, event = null) {
  ACTS[action](label, mode, event);
}

function digit(label, number, event) {
  if (label.reasons.open) {
    label.reasons.digit(number);
    return;
  }
  const row = label.panel.rows[number - 1];
  if (row) label.answer("label", { class_id: row.class_id }, "key", event);
  else if (label.current) label.say(`no class on ${keys.capOf(`digit${number}`)}`);
}

function buttons(label) {
  const made = BUTTONS.map(([action, text]) => {
    const element = button(h("kbd", {}, ""), (mode, event) => act(label, action, mode, event), { class: "rm-key", "data-action": action });
    element.append(text);
    return element;
  });
  label.part("keys").append(...made);
  relabel(label);
}

// Every printed key as this person has it.
export function relabel(label) {
  keys.use(label.identity.annotator);
  for (const element of label.part("keys").children) {
    setText(element.querySelector("kbd"), keys.capOf(element.dataset.action));
    element.setAttribute("aria-keyshortcuts", keys.keyOf(element.dataset.action));
  }
  label.panel.relabel();
  label.sheet?.draw();
}

function name(label) {
  const field = label.part("name");
  field.value = label.identity.annotator;
  field.addEventListener("change", () => {
    label.rename(field.value);
    relabel(label);
    field.value = label.identity.annotator;
  });
  field.addEventListener("keydown", (event) => event.key === "Enter" && field.blur());
}

function strength(label) {
  const slider = label.part("opacity").querySelector("input");
  slider.value = label.identity.wishes.opacity;
  slider.addEventListener("input", () => {
    label.identity.wish("opacity", Number(slider.value));
    label.stage.draw();
  });
  slider.addEventListener("change", () => slider.blur());
}
