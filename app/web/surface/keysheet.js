// The sheet of keys that `?` opens: it shows them, changes them one by one, and holds the person's wishes.

import { button, h, setText } from "./dom.js";
import * as keys from "./keys.js";

export class KeySheet {
  // changed() is called when a key was changed, so that every printed key follows.
  constructor(label, changed) {
    Object.assign(this, { label, changed });
    this.place = label.part("help");
    this.place.tabIndex = -1;
    this.asked = null; // the action that waits for its new key
    this.said = h("p", { class: "rm-sheet-said", role: "status" });
    this.body = h("div", { class: "rm-sheet" });
    this.place.append(h("h2", {}, "Keys"), h("p", { class: "rm-quiet" }, "Press a key below to change it. Your keys are kept in this browser, under your name."), this.said, this.body, this.#wishes(), this.#foot());
    this.place.addEventListener("keydown", (event) => this.#pressed(event), { capture: true });
    this.draw();
  }

  toggle() {
    if (!this.place.hidden) return this.close();
    this.from = document.activeElement;
    this.place.hidden = false;
    return this.place.focus({ preventScroll: true });
  }

  close() {
    if (this.place.hidden) return;
    this.#end("");
    const inside = this.place.contains(document.activeElement);
    this.place.hidden = true;
    if (inside && this.from?.isConnected) this.from.focus({ preventScroll: true });
  }

  draw() {
    const digits = keys.ACTIONS.filter(([action]) => keys.isDigit(action)).map(([action]) => this.#key(action));
    const columns = ["answer", "image"].map((column) =>
      h("dl", {}, ...keys.ACTIONS.filter((each) => each[3] === column).flatMap(([action, , text]) => [h("dt", {}, this.#key(action)), h("dd", {}, text)])));
    this.body.replaceChildren(h("p", { class: "rm-sheet-digits" }, ...digits, h("span", {}, "the class on that digit")), ...columns);
    this.again.hidden = !keys.isChanged();
  }

  #key(action) {
    const asked = this.asked === action;
    const name = `${keys.named(action)}: key ${keys.capOf(action)}, press to change it`;
    return button(h("kbd", {}, asked ? "…" : keys.capOf(action)), () => this.#ask(action), { class: "rm-rebind", "aria-label": name, "aria-pressed": String(asked), "data-rebind": action });
  }

  #ask(action) {
    this.asked = action;
    this.draw();
    setText(this.said, `press the new key for ${keys.named(action)}, or Esc`);
    this.place.querySelector(`[data-rebind="${action}"]`).focus();
  }

  #pressed(event) {
    if (!this.asked) {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.close();
      }
      return;
    }
    if (["Shift", "Control", "Alt", "AltGraph", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") return this.#end("");
    const action = this.asked;
    const refusal = keys.rebind(action, keys.plain(event));
    if (refusal) return setText(this.said, refusal);
    this.#end(`${keys.named(action)} is now on ${keys.capOf(action)}`);
    return this.changed();
  }

  #end(sentence) {
    const { asked } = this;
    this.asked = null;
    setText(this.said, sentence);
    this.draw();
    if (asked && !this.place.hidden) this.place.querySelector(`[data-rebind="${asked}"]`).focus();
  }

  #wishes() {
    return h("div", { class: "rm-wishes" }, this.#maps(),
      this.#wish("split", "image and map side by side on wide windows"),
      this.#wish("reasons", "ask for the reason after a reject"));
  }

  #wish(name, text) {
    const box = h("input", { type: "checkbox" });
    box.checked = this.label.identity.wishes[name];
    box.addEventListener("change", () => {
      this.label.identity.wish(name, box.checked);
      this.label.stage.layout();
    });
    return h("label", { class: "rm-wish" }, box, text);
  }

  #maps() {
    const { label } = this;
    const choice = h("select", { class: "rm-select" }, ...[["always", "always"], ["peek", "while its key is held"], ["off", "never"]].map(([value, text]) => h("option", { value }, text)));
    choice.value = label.identity.wishes.maps;
    choice.addEventListener("change", () => {
      label.identity.wish("maps", choice.value);
      label.changeMap(() => label.stage.layout());
    });
    return h("label", { class: "rm-wish" }, "show the map", choice);
  }

  #foot() {
    this.again = button("the keys as they were", () => {
      keys.reset();
      this.#end("the keys are as they were");
      this.changed();
    }, { class: "rm-button" });
    return h("div", { class: "rm-actions" }, button("close", () => this.close(), { class: "rm-button" }), button("the first steps again", () => {
      this.close();
      this.label.guide.again();
    }, { class: "rm-button" }), this.again);
  }
}
