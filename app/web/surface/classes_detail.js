// One class at the side of the list: its name, key, place, note and reference images; merging and retiring with their effect.

import { get } from "./api.js";
import { button, h, number, setText, thumb } from "./dom.js";

export const KEYS = [..."123456789abdjkpqrtuvw"];
const OFFERED = 60; // labelled images to choose from

export class Detail {
  // change(id, body) resolves to whether it was done; step(id, how), choose(id), known() gives {classes, gone}; back() to the list;
  // evidence(id) goes to the boxes proposed for the class.
  constructor({ change, step, known, back, evidence }) {
    Object.assign(this, { change, step, known, back, evidence });
    this.row = null;
    this.root = h("div", { class: "cl-one" });
    this.names = h("datalist", { id: "cl-names" });
  }

  // Shows a class; while a person types into a field of the same class, the fields stay as they are.
  show(row) {
    const typing = this.root.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
    const same = row && this.row?.class_id === row.class_id && this.row.gone === row.gone;
    this.row = row;
    if (same && (typing || this.busy)) return;
    this.busy = false;
    this.root.replaceChildren(...(!row ? [] : row.gone ? this.#gone(row) : this.#used(row)));
    const taken = this.known().classes.filter((each) => each.class_id !== row?.class_id);
    this.names.replaceChildren(...taken.map((each) => h("option", { value: each.name })));
  }

  #head(row) {
    const title = h("h2", { class: "cl-title" }, row.name);
    return h("div", { class: "cl-head" }, button("‹ all classes", () => this.back(), { class: "rm-button cl-back" }), title);
  }

  #gone(row) {
    const told = `${row.path[0].toUpperCase()}${row.path.slice(1)}. Its ${number(row.count)} own labels are kept${row.status === "merged" ? " and count there" : " and teach nothing"}.`;
    return [this.#head(row), h("p", { class: "cl-quiet" }, told), h("div", { class: "rm-actions" }, button("take back into use", () => this.change(row.class_id, { act: "restore" }), { class: "rm-button rm-strong" }))];
  }

  #used(row) {
    const expected = row.expected === null || row.expected === undefined ? "" : ` · the model takes ${number(row.expected)} images for it`;
    this.effect = h("div", { class: "cl-effect", role: "status" });
    return [
      this.#head(row),
      h("p", { class: "cl-quiet" }, `${number(row.count)} ${row.count === 1 ? "label" : "labels"}${expected}`),
      h("div", { class: "cl-fields" }, ...this.#fields(row)),
      this.#references(row),
      h("div", { class: "rm-actions cl-acts" },
        ...[["up", "↑", "up (Alt ↑)"], ["down", "↓", "down (Alt ↓)"], ["in", "→", "under the class above it (Alt →)"], ["out", "←", "out of its parent (Alt ←)"]].map(([how, sign, says]) =>
          button(sign, () => this.step(row.class_id, how), { class: "rm-button cl-step", "aria-label": `Move ${says}`, title: says })),
        ...(row.count ? [button("evidence …", () => this.evidence(row.class_id), { class: "rm-button", title: "the boxes proposed as its evidence, by what was marked in its images" })] : []),
        button("merge …", () => this.merge(), { class: "rm-button" }), button("retire …", () => this.retire(), { class: "rm-button" })),
      this.effect,
    ];
  }

  #fields(row) {
    const field = (name, element) => [h("label", { for: element.id }, name), element];
    const name = h("input", { type: "text", id: "cl-f-name", maxlength: "255", spellcheck: "false", autocomplete: "off" });
    name.value = row.name;
    const holders = new Map(this.known().classes.map((each) => [each.shortcut, each]));
    const options = KEYS.map((key) => {
      const holder = holders.get(key);
      const taken = holder && holder.class_id !== row.class_id;
      return h("option", { value: key, selected: row.shortcut === key, disabled: taken }, taken ? `${key} (${holder.name})` : key);
    });
    const key = h("select", { id: "cl-f-key" }, h("option", { value: "" }, "none"), ...options);
    const parents = this.known().classes;
    const parent = h("input", { type: "text", id: "cl-f-parent", list: "cl-names", placeholder: "no other class", spellcheck: "false", autocomplete: "off" });
    parent.value = parents.find((each) => each.class_id === row.parent_id)?.name ?? "";
    const note = h("textarea", { id: "cl-f-note", rows: "3", maxlength: "4000", placeholder: "what tells it from its neighbours" });
    note.value = row.note;
    const sends = (element, was, body) => element.addEventListener("change", () => element.value.trim() !== was && this.#send(row, element, was, body(element.value.trim())));
    sends(name, row.name, (value) => ({ act: "rename", name: value }));
    sends(key, row.shortcut ?? "", (value) => ({ act: "shortcut", shortcut: value || null }));
    sends(note, row.note, (value) => ({ act: "note", note: value }));
    sends(parent, parent.value, (value) => {
      const found = parents.find((each) => each.name.toLowerCase() === value.toLowerCase());
      return value && !found ? `there is no class ${value}` : { act: "move", parent_id: found?.class_id ?? null, before: null };
    });
    return [...field("Name", name), ...field("Key", key), ...field("Under", parent), ...field("What to look for", note)];
  }

  async #send(row, element, was, body) {
    const done = await this.change(row.class_id, body);
    if (!done) element.value = was;
  }

  #references(row) {
    const picture = (id) => h("img", { src: thumb(id), alt: `reference image of ${row.name}`, draggable: "false" });
    const place = h("div", { class: "cl-images" }, ...row.image_ids.map(picture));
    const none = row.image_ids.length ? null : h("p", { class: "cl-quiet" }, row.count ? "None chosen: the card shows the newest labelled images." : "Label some images first, then choose the ones that show it best.");
    const choose = row.count ? button("choose …", () => this.#offer(row, section), { class: "cl-link", "aria-label": "choose reference images" }) : null;
    const section = h("section", { class: "cl-references" }, h("div", { class: "cl-references-head" }, h("h3", {}, "Reference images"), choose), none, place);
    return section;
  }

  // Labelled images as switches; nothing is kept before "keep".
  async #offer(row, section) {
    const answer = await get(`/api/v1/classes/${row.class_id}/images?count=${OFFERED}`).catch(() => null);
    if (!answer || this.row?.class_id !== row.class_id) return;
    this.busy = true;
    const chosen = new Set(row.image_ids);
    const offered = [...row.image_ids, ...answer.image_ids.filter((id) => !chosen.has(id))];
    const keep = button("", () => close(this.change(row.class_id, { act: "images", image_ids: [...chosen] })), { class: "rm-button rm-strong" });
    const say = () => setText(keep, `keep ${number(chosen.size)} ${chosen.size === 1 ? "image" : "images"}`);
    const close = async (done) => {
      this.busy = false;
      await done;
      this.show(this.row);
    };
    const switches = offered.map((id) => {
      const element = button("", () => {
        if (!chosen.delete(id)) chosen.add(id);
        element.setAttribute("aria-pressed", String(chosen.has(id)));
        say();
      }, { class: "cl-offer", "aria-pressed": String(chosen.has(id)), "aria-label": `image ${id}` });
      element.append(h("img", { src: thumb(id), alt: "", draggable: "false", loading: "lazy" }));
      return element;
    });
    say();
    section.replaceChildren(h("h3", {}, "Reference images: choose those that show it best"), h("div", { class: "cl-images cl-offers" }, ...switches), h("div", { class: "rm-actions" }, keep, button("cancel", () => close(null), { class: "rm-button" })));
    switches[0]?.focus();
  }

  merge() {
    if (!this.row || this.row.gone) return;
    const field = h("input", { type: "text", id: "cl-f-into", list: "cl-names", placeholder: "the class that stays", spellcheck: "false", autocomplete: "off" });
    const told = h("div", {});
    const look = () => {
      const found = this.known().classes.find((each) => each.name.toLowerCase() === field.value.trim().toLowerCase());
      if (found) void this.#preview(told, `act=merge&into=${found.class_id}`, "merge", { act: "merge", into: found.class_id });
      else told.replaceChildren();
    };
    field.addEventListener("input", look);
    this.effect.replaceChildren(h("label", { for: field.id }, `Merge ${this.row.name} into`), field, told);
    this.busy = true;
    field.focus();
  }

  retire() {
    if (!this.row || this.row.gone) return;
    const told = h("div", {});
    this.effect.replaceChildren(told);
    this.busy = true;
    void this.#preview(told, "act=retire", "retire", { act: "retire" });
  }

  // What it would do, and two buttons: nothing has happened yet.
  async #preview(place, query, verb, body) {
    const { row } = this;
    this.asked = query;
    const found = await get(`/api/v1/classes/${row.class_id}/preview?${query}`).catch((problem) => ({ sentence: problem.message, problem }));
    if (this.row?.class_id !== row.class_id || this.asked !== query) return;
    const done = async () => {
      this.busy = false;
      await this.change(row.class_id, body);
    };
    const go = found.problem ? null : button(verb, done, { class: "rm-button rm-strong" });
    const leave = button("cancel", () => this.cancel(), { class: "rm-button" });
    place.replaceChildren(h("p", {}, found.sentence), h("div", { class: "rm-actions" }, go, leave));
    this.effect.scrollIntoView({ block: "nearest" });
    if (verb === "retire") (go ?? leave).focus();
  }

  cancel() {
    this.busy = false;
    this.effect?.replaceChildren();
  }
}
