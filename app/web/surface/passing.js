// "Ask Anna": the image shown goes to a named person, with a note if one is written. It is a skip that knows whom to ask.

import { get } from "./api.js";
import { button, h } from "./dom.js";

const SHOWN = 6;

export class Passing {
  constructor(label) {
    Object.assign(this, { label, names: [], found: [], at: 0, ready: null });
    this.name = h("input", { type: "text", "aria-label": "Whom to ask", placeholder: "ask whom?", maxlength: "100", role: "combobox", "aria-expanded": "true", "aria-controls": "rm-pass-list", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" });
    this.note = h("input", { type: "text", "aria-label": "Note for whom you ask", placeholder: "a note, if you like", maxlength: "150", autocomplete: "off" });
    this.list = h("div", { id: "rm-pass-list", role: "listbox", "aria-label": "Whom you may ask" });
    this.place = label.part("pass");
    this.place.append(this.name, this.note, this.list, button("cancel", () => this.close(), { class: "rm-button" }));
    this.name.addEventListener("input", () => this.#find());
    this.place.addEventListener("keydown", (event) => this.#key(event));
  }

  get open() {
    return this.ready !== null;
  }

  // Who else labels here; the button is there as long as somebody does.
  async hear() {
    const { annotator } = this.label.identity;
    const told = await get(`/api/v1/others?${new URLSearchParams({ annotator })}`).catch(() => null);
    if (!told || annotator !== this.label.identity.annotator) return;
    if (String(told.others) === String(this.names)) return; // a list that is looked at does not change under the finger
    this.names = told.others;
    this.label.root.querySelector('[data-action="pass"]').hidden = !this.names.length;
    if (this.open) this.#find();
  }

  press() {
    if (!this.label.current) return;
    if (!this.names.length) {
      void this.hear();
      this.label.say("nobody else labels here yet: there is nobody to ask");
      return;
    }
    this.ready = this.label.current;
    this.name.value = this.note.value = "";
    this.place.hidden = false;
    this.#find();
    this.name.focus();
    void this.hear();
  }

  // Another image is shown: the question was about the one before.
  left() {
    if (this.open && this.label.current !== this.ready) this.close();
  }

  close() {
    this.ready = null;
    this.place.hidden = true;
    if (this.place.contains(document.activeElement)) document.activeElement.blur();
  }

  // Names that begin with what is typed, then those that hold it.
  #find() {
    const typed = this.name.value.trim().toLowerCase();
    const at = (name) => name.toLowerCase().indexOf(typed);
    const held = this.names.filter((name) => at(name) >= 0);
    this.found = [...held.filter((name) => at(name) === 0), ...held.filter((name) => at(name) > 0)].slice(0, SHOWN);
    this.list.replaceChildren(...this.found.map((name, i) => this.#line(name, i)));
    if (!this.found.length) this.list.append(h("div", { class: "rm-quiet" }, "nobody of this name labels here"));
    this.#mark(0);
  }

  #line(name, i) {
    const line = h("div", { role: "option", id: `rm-pass-${i}`, class: "rm-option" }, name);
    line.addEventListener("pointerdown", (event) => event.preventDefault());
    line.addEventListener("click", (event) => this.#send(name, event.pointerType === "touch" ? "touch" : "click", event));
    return line;
  }

  #mark(at) {
    this.at = Math.min(Math.max(at, 0), Math.max(0, this.found.length - 1));
    this.list.querySelectorAll("[role=option]").forEach((line, i) => line.setAttribute("aria-selected", String(i === this.at)));
    if (this.found.length) this.name.setAttribute("aria-activedescendant", `rm-pass-${this.at}`);
    else this.name.removeAttribute("aria-activedescendant");
  }

  #send(name, mode, event) {
    const note = this.note.value.trim() || null;
    this.close();
    this.label.answer("skip", { asked: name, note }, mode, event);
    this.label.say(`passed to ${name}`);
  }

  #key(event) {
    const acts = {
      Enter: () => this.found.length && this.#send(this.found[this.at], "key", event),
      Escape: () => this.close(),
      ArrowDown: () => this.#mark(this.at + 1),
      ArrowUp: () => this.#mark(this.at - 1),
    };
    if (event.isComposing || !acts[event.key] || (event.key === "Enter" && event.target.closest("button"))) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }
}
