// Printed keys: on buttons, in fields and titles; all follow when a person puts an action on another key.

import { h } from "./dom.js";
import * as keys from "./keys.js";

// A key on a button. What is no action (Esc, an arrow) is printed as it stands.
export const hint = (action) => print(h("kbd", { "data-key": action }));

// An element that names the key in its title (a button) or ahead of its placeholder (a field).
export function tell(element, action, text = "") {
  Object.assign(element.dataset, { key: action, text });
  return print(element);
}

export function follow() {
  keys.listen(() => document.querySelectorAll("[data-key]").forEach(print));
}

function print(element) {
  const { key, text } = element.dataset;
  const cap = keys.capOf(key) || key;
  if (element.matches("input")) element.placeholder = `${cap}  ${text}`;
  else if (element.matches("kbd")) element.textContent = cap;
  else if (element.matches("button")) element.title = cap;
  return element;
}
