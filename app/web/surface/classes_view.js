// The elements of the Classes tab: the bar over the list, the side with one class and the history, the keys.

import { button, h } from "./dom.js";
import { hint, tell } from "./key_hints.js";
import { meaning } from "./keys.js";
import { KeySheet } from "./keysheet.js";

const HINTS = [["↑ ↓", "choose"], ["rename", "rename"], ["Alt ↑ ↓", "move"], ["Alt → ←", "under another, out"], ["merge", "merge"], ["retire", "retire"], ["new", "new"], ["search", "find"], ["undo", "undo"], ["help", "keys"]];

const FIXED = [["↑ ↓", "choose a class"], ["Alt ↑ ↓", "move it"], ["Alt → ←", "put it under another, or out"], ["Esc", "close this, leave a question or a field"]];

export function build(classes) {
  const find = h("input", { type: "search", "data-part": "find", "aria-label": "Find a class", spellcheck: "false", autocomplete: "off" });
  tell(find, "search", "find …");
  find.addEventListener("input", () => classes.show());
  find.addEventListener("keydown", (event) => found(classes, find, event));
  const side = h("aside", { class: "cl-side", "aria-label": "The chosen class, and what was changed" },
    classes.detail.root, classes.detail.names,
    h("section", { class: "cl-history" },
      h("div", { class: "cl-history-head" }, h("h3", {}, "History"), scope(classes)),
      h("ul", { "data-part": "history", "aria-label": "What was changed, the newest first" })));
  const none = h("p", { class: "cl-none" }, "No classes yet. Write the first ones above, or paste a list: one name a line.");
  const main = h("section", { class: "cl-main", "aria-label": "Classes in their order" },
    h("div", { class: "cl-bar-top" }, find, adding(classes)),
    h("p", { class: "cl-sum", "data-part": "sum" }), none, classes.list.root);
  const bar = h("div", { class: "cl-status" },
    h("div", { class: "cl-hints", "aria-hidden": "true" }, ...HINTS.map(([key, text]) => h("span", {}, hint(key), text))),
    h("div", { class: "cl-said", "data-part": "said", role: "status", "aria-live": "polite" }));
  document.addEventListener("keydown", (event) => pressed(classes, event));
  const help = h("div", { class: "rm-help", role: "dialog", "aria-label": "Keys", hidden: true });
  classes.sheet = new KeySheet(help, "classes", { fixed: FIXED });
  return h("div", { class: "raum cl" }, main, side, bar, help);
}

// One name, or a list pasted into the field.
function adding(classes) {
  const name = h("input", { type: "text", "data-part": "new", placeholder: "new class …", "aria-label": "Name of a new class", maxlength: "255", spellcheck: "false", autocomplete: "off" });
  const form = h("form", { class: "cl-add" }, name, h("button", { type: "submit", class: "rm-button" }, "add"));
  const send = async (text) => {
    if (text.trim() && (await classes.add(text))) name.value = "";
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(name.value);
  });
  name.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (!text.trim().includes("\n")) return;
    event.preventDefault();
    void send(text);
  });
  name.addEventListener("keydown", (event) => event.key === "Escape" && classes.list.root.focus());
  return form;
}

function scope(classes) {
  const element = button("of all classes", () => {
    classes.all = !classes.all;
    element.textContent = classes.all ? "of all classes" : "of this class";
    void classes.loadHistory();
  }, { class: "cl-link", "aria-label": "Whose history: of all classes, or of the chosen one" });
  return element;
}

function found(classes, field, event) {
  if (event.key === "Escape") {
    field.value = "";
    classes.show();
  } else if (event.key !== "Enter" && event.key !== "ArrowDown") return;
  event.preventDefault();
  event.stopPropagation();
  classes.list.root.focus();
  if (event.key !== "Escape" && classes.list.current) classes.list.choose(classes.list.current.class_id, false);
}

function pressed(classes, event) {
  if (!classes.visible() || event.altKey || event.target?.closest?.("input, textarea, select, [role=tablist]")) return;
  const action = (event.ctrlKey || event.metaKey) && event.key === "z" ? "undo" : meaning(event, "classes")?.action;
  if (action === "undo") void classes.undo();
  else if (action === "search") classes.part("find").focus();
  else if (action === "new") classes.part("new").focus();
  else if (action === "help") classes.sheet.toggle();
  else if (action === "escape" && classes.sheet.open) classes.sheet.close();
  else if (action === "escape") {
    classes.detail.cancel();
    classes.list.root.focus();
  } else if (event.key === "ArrowDown" && event.target === document.body) classes.list.root.focus();
  else return;
  event.preventDefault();
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export function history(classes, acts) {
  const rows = acts.map((each) => {
    const at = new Date(each.at * 1000);
    const when = h("time", { datetime: at.toISOString() }, DAY.format(at));
    const text = h("span", { class: "cl-text" }, each.text, each.actor ? h("span", { class: "cl-who" }, ` ${each.actor}`) : null);
    const back = each.undone ? h("span", { class: "cl-quiet" }, "undone") : button("undo", () => classes.undo(each.seq), { class: "cl-link", "aria-label": `undo: ${each.text}` });
    return h("li", { class: each.undone ? "cl-undone" : "" }, when, text, back);
  });
  classes.part("history").replaceChildren(...(rows.length ? rows : [h("li", { class: "cl-quiet" }, "Nothing was changed yet.")]));
}
