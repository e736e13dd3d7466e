// Classes that change while people label, and those pinned to a letter of their own.

import * as choices from "./choices.js";
import { meaning } from "./keys.js";
import { PAGED } from "./mode_keys.js";

// The classes that came with the status: the page takes them over where anything differs.
export function hear(label, classes) {
  const told = (list) => list.map((each) => `${each.class_id}:${each.name}:${each.shortcut ?? ""}`).join("\n");
  if (!classes || told(classes) === told(label.classes)) return;
  label.classes = classes;
  const item = label.current?.item;
  if (item) item.suggestions = choices.standing(item.suggestions, classes);
  label.repaintPanel();
  void label.stock.topUp(); // what waits comes again, with the classes as they are now
}

// A letter that means nothing else answers with the class pinned to it.
export function listen(label) {
  document.addEventListener("keydown", (event) => {
    if (!label.root.checkVisibility() || label.root.dataset.mode !== "label" || PAGED.includes(label.root.dataset.view) || label.reasons.open) return;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || meaning(event)) return;
    if (event.target?.closest?.("input, textarea, select, [contenteditable]")) return;
    const row = label.classes.find((each) => each.shortcut && each.shortcut === event.key.toLowerCase());
    if (!row || !label.current) return;
    event.preventDefault();
    label.answer("label", { class_id: row.class_id }, "key", event);
  });
}
