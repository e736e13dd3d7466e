// Type-ahead over every class: `/` enters, Enter picks, an unknown name can be added at once.

import * as choices from "./choices.js";
import { h, percent } from "./dom.js";
import { tell } from "./key_hints.js";
import { may } from "./login.js";

export class Search {
  // pick(class_id) answers; add(name) makes the class and answers with it; source() gives {classes, suggestions}.
  constructor(root, { pick, add, source, id = "rm-found" }) {
    Object.assign(this, { pick, add, source, id });
    this.at = 0;
    this.options = [];
    this.input = h("input", {
      type: "search", "aria-label": "Any class", role: "combobox", "aria-expanded": "false",
      "aria-controls": id, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", maxlength: "200",
    });
    this.found = h("div", { class: "rm-found", id, role: "listbox", "aria-label": "Classes found", hidden: true });
    root.querySelector('[data-part="search"]').append(this.input, this.found);
    this.input.addEventListener("input", () => this.refresh());
    tell(this.input, "search", "any class …");
    this.input.addEventListener("focus", () => this.refresh());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.#key(event));
  }

  open() {
    this.input.focus();
    this.input.select();
  }

  leave() {
    this.input.value = "";
    this.input.blur();
  }

  close() {
    this.found.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }

  refresh() {
    const { classes, suggestions } = this.source();
    const query = this.input.value;
    this.options = choices.matches(query, classes, suggestions);
    if (query.trim() && may("review") && !choices.known(query, classes)) this.options.push({ class_id: null, name: query.trim(), p: 0 });
    this.at = 0;
    this.found.replaceChildren(...this.options.map((option, i) => this.#line(option, i)));
    this.found.hidden = !this.options.length;
    this.input.setAttribute("aria-expanded", String(!this.found.hidden));
    this.#mark();
  }

  #line(option, i) {
    const text = option.class_id === null ? `add the class “${option.name}”` : option.name;
    const line = h("div", { role: "option", id: `${this.id}-${i}`, class: "rm-option" }, h("span", {}, text), option.p ? h("span", { class: "rm-share" }, percent(option.p)) : null);
    line.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.#choose(option);
    });
    return line;
  }

  #mark() {
    [...this.found.children].forEach((line, i) => line.setAttribute("aria-selected", String(i === this.at)));
    if (this.options.length) this.input.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
    this.found.children[this.at]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.key === "Escape") this.leave();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.at = Math.max(0, Math.min(this.options.length - 1, this.at + step));
      this.#mark();
    } else if (event.key === "Enter" && !event.repeat && this.options[this.at]) this.#choose(this.options[this.at], event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(option, event) {
    this.leave();
    if (option.class_id === null) this.add(option.name);
    else this.pick(option.class_id, event);
  }
}
