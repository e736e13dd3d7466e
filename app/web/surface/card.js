// The class card: reference images, note and parents of a class, beside the contrast strip and never over the image.

import { get } from "./api.js";
import { button, h, setText, thumb } from "./dom.js";
import * as keys from "./keys.js";

const key = () => keys.keyOf?.("card") || "i";

export class Card {
  constructor(label) {
    this.label = label;
    this.known = new Map(); // class id -> {at: newest change of the classes then, told}
    this.chosen = null; // a class that was picked by hand, for the image it was picked on
    this.root = h("section", { class: "cc", "aria-label": "Class card", hidden: true });
    label.part("compare").before(this.root);
    this.#build();
    label.panel.slots.forEach((slot, i) => slot.element.append(this.#info(i)));
    label.part("compare").addEventListener("click", (event) => this.#named(event));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  get open() {
    return !this.root.hidden;
  }

  // The card of this class, or of the likeliest; pressed again it goes.
  toggle(classId = null) {
    if (this.open && (classId === null || classId === this.shown)) this.close();
    else {
      this.chosen = classId;
      this.root.hidden = false;
      this.label.part("compare").tabIndex = 0; // it scrolls while the card takes its room
      this.show();
    }
  }

  close() {
    this.root.hidden = true;
    this.label.part("compare").removeAttribute("tabindex");
    this.chosen = null;
  }

  // Another image is shown: the card goes on with its likeliest class.
  follow() {
    this.chosen = null;
    if (this.open) this.show();
  }

  show() {
    const rows = this.#rows();
    this.shown = this.chosen ?? (rows.find((row) => row.top) ?? rows[0])?.class_id ?? null;
    if (this.shown === null) return this.close();
    const name = this.label.classes.find((each) => each.class_id === this.shown)?.name ?? "";
    const known = this.known.get(this.shown);
    if (known) this.#fill(known.told);
    else this.#fill({ name, above: [], note: "", image_ids: [], shortcut: null, waiting: true });
    if (known?.at !== this.#act()) void this.#fetch(this.shown);
    return undefined;
  }

  step(by) {
    const rows = this.#rows();
    const at = rows.findIndex((row) => row.class_id === this.shown);
    this.chosen = rows[(at + by + rows.length) % rows.length]?.class_id ?? null;
    this.show();
  }

  async #fetch(classId) {
    const at = this.#act();
    const told = await get(`/api/v1/classes/${classId}/card`).catch(() => null);
    if (!told) return;
    this.known.set(classId, { at, told });
    if (this.open && this.shown === classId) this.#fill(told);
  }

  #act() {
    return `${this.label.status.value?.class_act}/${this.label.status.value?.publication}`;
  }

  #rows() {
    return this.label.panel.rows.filter((row) => row);
  }

  #build() {
    this.title = h("h3", { class: "cc-name" });
    this.above = h("span", { class: "cc-above" });
    this.note = h("p", { class: "cc-note", tabindex: "0" });
    this.images = h("div", { class: "cc-images", tabindex: "0", role: "group", "aria-label": "Images that show the class" });
    const small = (sign, says, action) => button(sign, action, { class: "cc-button", "aria-label": says, title: says });
    const head = h("div", { class: "cc-head" }, this.title, this.above,
      small("‹", "card of the class before", () => this.step(-1)), small("›", "card of the next class", () => this.step(1)), small("×", "close the card (Esc)", () => this.close()));
    this.root.append(head, this.note, this.images);
  }

  #fill(told) {
    setText(this.title, told.name);
    setText(this.above, told.above.join(" › "));
    const newest = !told.waiting && !told.chosen && told.image_ids.length;
    setText(this.note, told.note || (newest ? "no reference images chosen: the newest labelled ones" : ""));
    this.note.classList.toggle("cc-quiet", !told.note);
    this.note.hidden = !this.note.textContent;
    const ids = told.waiting ? "waiting" : told.image_ids.join();
    if (this.images.dataset.ids === ids) return;
    this.images.dataset.ids = ids;
    const images = told.image_ids.map((id) => h("img", { src: thumb(id), alt: `an image of ${told.name}`, loading: "lazy", draggable: "false" }));
    const none = told.waiting ? "" : "no labelled images yet";
    this.images.replaceChildren(...(images.length ? images : [h("span", { class: "cc-quiet" }, none)]));
  }

  // The mark behind a class's name: its card, and not an answer.
  #info(i) {
    const mark = h("span", { class: "cc-info", "aria-hidden": "true", title: `what it looks like (${key()})` }, h("span", {}, "i"));
    mark.addEventListener("click", (event) => {
      event.stopPropagation();
      if (this.label.panel.rows[i]) this.toggle(this.label.panel.rows[i].class_id);
    });
    return mark;
  }

  #named(event) {
    const name = event.target.closest?.("figcaption")?.textContent;
    const row = name && this.label.classes.find((each) => each.name === name);
    if (row) this.toggle(row.class_id);
  }

  #key(event) {
    if (!this.label.root.checkVisibility() || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target?.closest?.("input:not([type=range]), textarea, select")) return;
    if (event.key === "Escape" && this.open) this.close();
    else if (event.key.toLowerCase() === key() && this.label.current && !event.defaultPrevented) this.toggle();
    else return;
    event.preventDefault();
  }
}
