// A person's wishes beside the keys: when maps are shown, and what the page does unasked.

import { h } from "./dom.js";

export function wishes(label) {
  return h("div", { class: "rm-wishes" }, maps(label),
    wish(label, "split", "image and map side by side on wide windows"),
    wish(label, "reasons", "ask for the reason after a reject"));
}

function wish(label, name, text) {
  const box = h("input", { type: "checkbox" });
  box.checked = label.identity.wishes[name];
  box.addEventListener("change", () => {
    label.identity.wish(name, box.checked);
    label.stage.layout();
  });
  return h("label", { class: "rm-wish" }, box, text);
}

function maps(label) {
  const choice = h("select", { class: "rm-select" }, ...[["always", "always"], ["peek", "while its key is held"], ["off", "never"]].map(([value, text]) => h("option", { value }, text)));
  choice.value = label.identity.wishes.maps;
  choice.addEventListener("change", () => {
    label.identity.wish("maps", choice.value);
    label.changeMap(() => label.stage.layout());
  });
  return h("label", { class: "rm-wish" }, "show the map", choice);
}
