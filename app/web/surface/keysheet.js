// The sheet of keys that `?` opens on a tab: it shows them and changes them one by one.

import { button, h, setText } from "./dom.js";
import { TABS } from "./key_table.js";
import * as keys from "./keys.js";

export class KeySheet {
  // fixed: [key, what it does] of keys that stay; below and buttons: elements under the keys.
  constructor(place, tab, { fixed = [], below = [], buttons = [] } = {}) {
    Object.assign(this, { place, rows: TABS[tab], fixed });
    place.tabIndex = -1;
    this.asked = null; // the action that waits for its new key
    this.said = h("p", { class: "rm-sheet-said", role: "status" });
    this.body = h("div", { class: "rm-sheet" });
    place.append(h("h2", {}, "Keys"), h("p", { class: "rm-quiet" }, "Press a key below to change it. Your keys are kept in this browser, under your name."), this.said, this.body, ...below, this.#foot(buttons));
    keys.listen(() => this.draw());
    place.addEventListener("keydown", (event) => this.#pressed(event), { capture: true });
    this.draw();
  }

  get open() {
    return !this.place.hidden;
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
    const digits = this.rows.filter(([action]) => keys.isDigit(action)).map(([action]) => this.#key(action));
    const names = [...new Set(this.rows.map((each) => each[3]))].filter((column) => column !== "digits");
    const columns = names.map((column) => this.rows.filter((each) => each[3] === column).map(([action, , text]) => [this.#key(action), text]));
    columns[0].unshift(...this.fixed.map(([key, text]) => [h("kbd", {}, key), text]));
    const lists = columns.map((lines) => h("dl", {}, ...lines.flatMap(([key, text]) => [h("dt", {}, key), h("dd", {}, text)])));
    const line = digits.length ? [h("p", { class: "rm-sheet-digits" }, ...digits, h("span", {}, "the class on that digit"))] : [];
    this.body.replaceChildren(...line, ...lists);
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
    return this.#end(`${keys.named(action)} is now on ${keys.capOf(action)}`);
  }

  #end(sentence) {
    const { asked } = this;
    this.asked = null;
    setText(this.said, sentence);
    this.draw();
    if (asked && !this.place.hidden) this.place.querySelector(`[data-rebind="${asked}"]`).focus();
  }

  #foot(buttons) {
    this.again = button("the keys as they were", () => {
      keys.reset();
      this.#end("the keys are as they were");
    }, { class: "rm-button" });
    return h("div", { class: "rm-actions" }, button("close", () => this.close(), { class: "rm-button" }), ...buttons, this.again);
  }
}
