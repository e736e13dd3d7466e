// Keys and buttons of the labelling surface: what is pressed becomes a call of the label object.

import { button, h } from "./dom.js";
import { SHEET, meaning } from "./keys.js";
import { control, person } from "./login.js";

const BUTTONS = [
  ["accept", "⏎", "accept"],
  ["reject", "x", "reject"],
  ["skip", "s", "skip"],
  ["flag", "f", "flag"],
  ["undo", "z", "undo"],
  ["cycle", "o", "map"],
  ["help", "?", "keys"],
];

export function dress(label) {
  buttons(label);
  name(label);
  strength(label);
  help(label);
  document.addEventListener("keydown", (event) => pressed(label, event));
  // A tab that was clicked keeps no focus, or Enter would press it again instead of accepting.
  document.addEventListener("click", (event) => event.detail && event.target.closest?.("[role=tab]")?.blur());
}

function pressed(label, event) {
  if (!label.root.checkVisibility() || label.root.dataset.mode !== "label") return;
  const meant = meaning(event);
  if (!meant) return;
  event.preventDefault();
  if (meant.action === "digit") digit(label, meant.digit, event);
  else act(label, meant.action, "key", event);
}

export function act(label, action, mode, event = null) {
  const sheet = label.part("help");
  const actions = {
    accept: () => label.accept(mode, event),
    reject: () => label.reject(mode, event),
    skip: () => label.answer("skip", {}, mode, event),
    flag: () => label.flag(mode),
    undo: () => label.undo(),
    search: () => label.search.open(),
    help: () => (sheet.hidden = !sheet.hidden),
    cycle: () => label.changeMap(() => label.stage.cycle()),
    hide: () => label.changeMap(() => label.stage.toggle()),
    escape: () => {
      sheet.hidden = true;
      label.reasons.end();
    },
  };
  actions[action]();
}

function digit(label, number, event) {
  if (label.reasons.open) {
    label.reasons.digit(number);
    return;
  }
  const row = label.panel.rows[number - 1];
  if (row) label.answer("label", { class_id: row.class_id }, "key", event);
  else if (label.current) label.say(`no class on ${number}`);
}

function buttons(label) {
  const made = BUTTONS.map(([action, key, text]) => {
    const element = button(h("kbd", {}, key), (mode, event) => act(label, action, mode, event), { class: "rm-key", "data-action": action });
    element.append(text);
    return element;
  });
  label.part("keys").append(...made);
}

function name(label) {
  const field = label.part("name");
  if (person) {
    field.closest(".rm-name").replaceWith(control(label));
    return;
  }
  field.value = label.identity.annotator;
  field.addEventListener("change", () => {
    label.rename(field.value);
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

function help(label) {
  const keys = SHEET.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]);
  label.part("help").append(
    h("h2", {}, "Keys"),
    h("dl", {}, ...keys),
    wish(label, "split", "image and map side by side on wide windows"),
    wish(label, "reasons", "ask for the reason after a reject"),
    button("close", () => (label.part("help").hidden = true), { class: "rm-button" }),
  );
}

function wish(label, key, text) {
  const box = h("input", { type: "checkbox" });
  box.checked = label.identity.wishes[key];
  box.addEventListener("change", () => {
    label.identity.wish(key, box.checked);
    label.stage.layout();
    box.blur();
  });
  return h("label", { class: "rm-wish" }, box, text);
}
