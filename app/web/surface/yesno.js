// Yes or no: one image, one question ("Is this a House Sparrow?"), images of one class one after the other.

import { post } from "./api.js";
import { button, h, percent, setText } from "./dom.js";
import { hint } from "./key_hints.js";
import { Stock } from "./stock.js";

export class YesNo {
  constructor(label, modes) {
    Object.assign(this, { label, modes, single: null, stays: null });
    this.stock = new Stock({
      claim: (count) => this.#claim(count), answering: () => label.outbox.size, now: () => performance.now(),
      changed: () => (this.#exhausted() ? modes.show("single", "no more images for yes or no just now: back to one at a time") : this.#fill()),
    });
    this.text = h("p", { class: "ry-text", role: "status", "aria-live": "polite" });
    this.yesButton = this.#answer("yesno", "yes", (event) => this.yes("yesno", event));
    this.noButton = this.#answer("no", "no", () => this.no());
    this.element = h("div", { class: "ry" }, this.text, h("div", { class: "ry-answers" }, this.yesButton, this.noButton));
    label.root.querySelector(".rm-panel").prepend(this.element);
  }

  #answer(key, text, action) {
    const element = button(hint(key), (_, event) => action(event), { class: `ry-answer ry-${text}` });
    element.append(h("span", {}, text));
    return element;
  }

  get active() {
    return this.modes.mode === "yesno";
  }

  // --- coming and going: the label object works on this stock instead of its own

  enter() {
    const { label } = this;
    this.single = label.stock;
    this.#swap(this.single, this.stock);
    void this.stock.topUp();
  }

  leave() {
    this.#swap(this.stock, this.single);
    delete this.label.root.dataset.struck;
    void this.label.stock.topUp();
  }

  #swap(from, to) {
    const { label } = this;
    label.reasons.end();
    from.putBack(label.current);
    from.shown = null;
    label.stock = to;
    label.next();
  }

  drop() {
    this.stock.waiting = [];
    this.stays = null;
  }

  #fill() {
    if (this.active) this.label.fill();
  }

  #exhausted() {
    return this.active && this.stock.asked && !this.stock.problem && this.none && !this.stock.first && !this.label.current;
  }

  async #claim(count) {
    const told = await post("/api/v1/modes/yesno", { ...this.modes.who("yesno"), count: Math.min(count, 48), class_id: this.stays });
    this.none = !told.images.length;
    return told.images;
  }

  // --- what is asked

  get question() {
    const item = this.label.current?.item;
    return this.active && item?.question ? item.question : null;
  }

  shown() {
    const { label, question } = this;
    const struck = label.current?.item.struck ?? null;
    if (question) this.stays = question.class_id;
    this.element.hidden = !question;
    label.root.toggleAttribute("data-struck", struck !== null);
    if (!question) return;
    const article = /^[aeiou]/i.test(question.name) ? "an" : "a";
    setText(this.text, struck ? `Not ${article} ${question.name}. Which is it?` : `Is this ${article} ${question.name}?`);
    this.text.title = `the model says ${percent(question.probability)}`;
    this.noButton.hidden = struck !== null;
    setText(this.yesButton.lastChild, struck === null ? "yes" : "yes, after all");
    for (const [i, slot] of label.panel.slots.entries()) slot.element.classList.toggle("ry-struck", struck !== null && label.panel.rows[i]?.class_id === struck);
  }

  yes(mode, event = null) {
    const { label, question } = this;
    if (!question) {
      if (label.current) label.say("no question about this image: press the digit of its class");
      return;
    }
    this.modes.measure("yesno", event?.timeStamp || performance.now());
    const again = label.current.item.struck ? "yesno-no" : mode;
    label.answer("label", { class_id: question.class_id, input_mode: again, note: null }, again, event);
  }

  // The image stays, the class is struck out, and what it is becomes the question: no answer is lost.
  no() {
    const { label, question } = this;
    if (!question || label.current.item.struck) return;
    const { item } = label.current;
    const suggestions = item.suggestions.filter((each) => each.class_id !== question.class_id);
    label.current.item = { ...item, suggestions, struck: question.class_id };
    label.panel.show(label.current, label.classes, {});
    this.shown();
  }

  // What an answer after a no says besides: that it took a second look, and what it is not.
  says(item) {
    return item.struck ? { input_mode: "yesno-no", note: `not ${item.question.name}` } : {};
  }
}
