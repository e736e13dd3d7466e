// Label receipts: a quiet line "your 5 answers changed 214 suggestions"; opened it shows which, and takes one answer back.

import { get } from "./api.js";
import { button, h, number, setText } from "./dom.js";
import { ROOT } from "./login.js";
import { retract } from "./walk.js";

const LISTED = 20; // publications looked through
const FEW = 5; // receipts shown

export class Receipts {
  constructor(label) {
    this.label = label;
    this.line = button("", () => this.toggle(), { class: "rm-receipt", hidden: true });
    label.part("receipt").append(this.line);
    this.place = label.part("receipts");
    this.place.tabIndex = -1;
    this.place.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    this.list = [];
    this.publication = null;
  }

  // Asked once a publication, and only by a tab that somebody labels in.
  async heard(publication) {
    if (publication === this.publication) return;
    this.publication = publication;
    if (!this.label.history.length || document.hidden) return;
    const who = encodeURIComponent(this.label.identity.annotator);
    const answer = await get(`/api/v1/receipts?annotator=${who}&count=${LISTED}`).catch(() => null);
    if (!answer || publication !== this.publication) return;
    this.list = answer.receipts.filter((each) => each.changed).slice(0, FEW);
    const [newest] = this.list;
    this.line.hidden = !newest;
    if (newest) setText(this.line, told(newest));
    if (!this.place.hidden) this.draw();
  }

  forget() {
    this.list = [];
    this.line.hidden = true;
    this.close();
  }

  toggle() {
    if (!this.place.hidden) return this.close();
    this.draw();
    this.place.hidden = false;
    return this.place.focus({ preventScroll: true });
  }

  // Says whether there was something to close.
  close() {
    const open = !this.place.hidden;
    const inside = this.place.contains(document.activeElement);
    this.place.hidden = true;
    if (inside) this.line.focus({ preventScroll: true });
    return open;
  }

  draw() {
    this.place.replaceChildren(h("h2", {}, "What your answers changed"), ...this.list.map((each) => this.#receipt(each)), button("close", () => this.close(), { class: "rm-button" }));
  }

  #receipt(receipt) {
    const shown = receipt.images.length < receipt.changed ? `the ${receipt.images.length} surest of ${number(receipt.changed)}` : "all of them";
    return h("section", { class: "rm-slip" },
      h("h3", {}, told(receipt)),
      h("p", { class: "rm-quiet" }, `of ${number(receipt.pool)} open images; shown are ${shown}`),
      h("ul", { class: "rm-changed" }, ...receipt.images.map((image) => h("li", {}, thumb(image.image_id), h("span", {}, image.from), h("span", { class: "rm-to" }, `→ ${image.to}`)))),
      h("h4", {}, "learned from your answers"),
      h("ul", { class: "rm-learned" }, ...receipt.answers.map((answer) => this.#answer(answer))));
  }

  #answer(answer) {
    const said = answer.kind === "reject" ? "rejected" : answer.name;
    const gone = h("span", { class: "rm-quiet" }, "taken back");
    const back = button("take back", () => {
      this.takeBack(answer);
      back.replaceWith(gone);
    }, { class: "rm-button", "aria-label": `take back ${said}` });
    return h("li", {}, thumb(answer.image_id), h("span", {}, said), answer.stands ? back : gone);
  }

  takeBack(answer) {
    const { label } = this;
    answer.stands = false;
    label.history = label.history.filter((each) => each.body.uuid !== answer.uuid);
    label.outbox.push(retract(label, answer.uuid));
    label.say("taken back; the image is asked again");
  }
}

function thumb(id) {
  return h("img", { src: `${ROOT}/thumb/${id}`, alt: "", loading: "lazy" });
}

export function told({ mine, others, changed }) {
  const answers = (count) => `${number(count)} answer${count === 1 ? "" : "s"}`;
  const with_ = others ? ` and ${number(others)} of others` : "";
  return `your ${answers(mine)}${with_} changed ${number(changed)} suggestion${changed === 1 ? "" : "s"}`;
}
