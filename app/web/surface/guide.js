// The first minute: five short steps beside the real controls, each done by doing it; never again once done or skipped.

import { button, h, setText } from "./dom.js";
import * as keys from "./keys.js";

const DONE = "raum.guided";
const key = (action) => h("kbd", {}, keys.capOf(action));

// [the controls it is about, what one does, the sentence]
const STEPS = [
  [".rm-choices", ["label"], () => [key("digit1"), " – ", key("digit9"), " name the class of the image; so does a click or a tap. The next image comes at once."]],
  ['[data-action="accept"]', ["accept"], () => [key("accept"), " takes the model's first class. Look at the image first: early on it errs often."]],
  [".rm-caption", ["cycle", "hide", "evidence", "compare"], () => ["The tint shows where the evidence lies. ", key("cycle"), " changes the map, ", key("hide"), " hides it, ", key("compare"), " puts a labelled image beside this one."]],
  ['[data-action="reject"], [data-action="skip"], [data-action="flag"]', ["reject", "skip", "flag"], () => ["Not one of the classes, or a bad image: ", key("reject"), " rejects. ", key("skip"), " leaves it to others, ", key("flag"), " asks for a discussion."]],
  ['[data-action="undo"], [data-action="help"], [data-part="saved"]', ["undo", "help", "earlier"], () => [key("undo"), " takes back, as often as you like; the mark below says what is saved. ", key("help"), " shows every key and changes it."]],
];

export class Guide {
  constructor(label) {
    Object.assign(this, { label, at: null, seen: recall() !== null });
    this.place = label.part("guide");
    this.count = h("span", { class: "rm-quiet" });
    this.text = h("p", {});
    this.on = button("next", () => this.#go(this.at + 1), { class: "rm-button rm-strong" });
    this.place.append(h("div", { class: "rm-guide-head" }, h("h2", {}, "First steps"), this.count), this.text, h("div", { class: "rm-actions" }, this.on, button("skip the guide", () => this.end(), { class: "rm-button" })));
  }

  // Shown with the first image to a person who has not seen it in this browser.
  greet() {
    if (this.at === null && !this.seen) this.#go(0);
  }

  again() {
    this.#go(0);
  }

  // What the person has just done; the step that is about it is done.
  did(action) {
    if (this.at !== null && STEPS[this.at][1].includes(action)) this.#go(this.at + 1);
  }

  end() {
    this.#point(null);
    this.at = null;
    this.seen = true;
    this.place.hidden = true;
    try {
      localStorage.setItem(DONE, "yes");
    } catch {
      // a browser that keeps nothing shows the guide again
    }
  }

  #go(step) {
    if (step >= STEPS.length) {
      this.end();
      return;
    }
    this.at = step;
    const [selector, , sentence] = STEPS[step];
    this.text.replaceChildren(...sentence());
    setText(this.count, `${step + 1} of ${STEPS.length}`);
    setText(this.on, step + 1 < STEPS.length ? "next" : "done");
    this.place.hidden = false;
    this.#point(selector);
  }

  #point(selector) {
    for (const element of this.label.root.querySelectorAll(".rm-guided")) element.classList.remove("rm-guided");
    if (selector) for (const element of this.label.root.querySelectorAll(selector)) element.classList.add("rm-guided");
  }
}

function recall() {
  try {
    return localStorage.getItem(DONE);
  } catch {
    return null;
  }
}
