// What the model takes for what, on the answered holdout: a matrix whose cells open their images, or the worst pairs.

import { get } from "./api.js";
import { button, h, number, percent } from "./dom.js";
import { ROOT } from "./login.js";

const MOST = 20; // classes that a matrix shows well; with more, the pairs that are confused most
const PAIRS = 30;

export class Confusion {
  constructor(place) {
    this.place = place;
    this.opened = h("div", { class: "pr-opened", role: "region", "aria-label": "Images of the chosen cell", "aria-live": "polite" });
  }

  async load() {
    const answer = await get("/api/v1/confusion").catch(() => null);
    if (!answer) return;
    const told = JSON.stringify(answer);
    if (told === this.told) return;
    this.told = told;
    this.opened.replaceChildren();
    if (!answer.answers) return this.place.replaceChildren(h("p", { class: "rp-unmeasured" }, h("b", {}, "not yet measured"), " It is counted on holdout images that people have answered."));
    const names = new Map(answer.classes.map((each) => [each.class_id, each.name]));
    const wrong = answer.cells.filter((cell) => cell.truth !== cell.said);
    const count = wrong.reduce((sum, cell) => sum + cell.count, 0);
    const text = `${number(count)} of ${number(answer.answers)} holdout answers are taken for another class. A cell opens its images.`;
    this.place.replaceChildren(h("p", { class: "rp-quiet" }, text), answer.classes.length <= MOST ? this.matrix(answer, names) : this.pairs(wrong, names), this.opened);
  }

  matrix({ classes, cells }, names) {
    const of = new Map(cells.map((cell) => [`${cell.truth}/${cell.said}`, cell]));
    const totals = new Map(classes.map((row) => [row.class_id, cells.filter((cell) => cell.truth === row.class_id).reduce((sum, cell) => sum + cell.count, 0)]));
    const head = h("tr", {}, h("th", { scope: "col", class: "pr-corner" }, "is \\ taken for"), ...classes.map((each) => h("th", { scope: "col", title: each.name }, h("span", {}, each.name))));
    const rows = classes.map((row) => h("tr", {}, h("th", { scope: "row", title: row.name }, row.name), ...classes.map((column) => {
      const cell = of.get(`${row.class_id}/${column.class_id}`);
      if (!cell) return h("td", {});
      const share = cell.count / totals.get(row.class_id);
      const square = button(number(cell.count), () => this.open(cell, names), { "aria-label": `${row.name} taken for ${column.name}: ${cell.count}, ${percent(share)}` });
      square.style.setProperty("--share", share.toFixed(3));
      return h("td", { class: row === column ? "pr-right" : "pr-wrong" }, square);
    })));
    return h("div", { class: "pr-scroll" }, h("table", { class: "pr-matrix" }, h("thead", {}, head), h("tbody", {}, ...rows)));
  }

  pairs(wrong, names) {
    if (!wrong.length) return h("p", {}, "None is taken for another class.");
    return h("ol", { class: "pr-pairs" }, ...wrong.slice(0, PAIRS).map((cell) => h("li", {}, button(`${names.get(cell.truth)} taken for ${names.get(cell.said)} · ${number(cell.count)}`, () => this.open(cell, names), { class: "rm-button" }))));
  }

  open(cell, names) {
    const title = cell.truth === cell.said ? `${names.get(cell.truth)}, taken for it` : `${names.get(cell.truth)} taken for ${names.get(cell.said)}`;
    const more = cell.count > cell.image_ids.length ? ` (the first ${number(cell.image_ids.length)})` : "";
    const large = h("div", { class: "pr-large" });
    const images = cell.image_ids.map((id) => {
      const thumb = button("", () => large.replaceChildren(h("img", { src: `${ROOT}/image/${id}`, alt: `image ${id}` })), { class: "pr-thumb", "aria-label": `enlarge image ${id}` });
      thumb.append(h("img", { src: `${ROOT}/thumb/${id}`, alt: "", loading: "lazy" }));
      return thumb;
    });
    this.opened.replaceChildren(h("h3", {}, `${title}: ${number(cell.count)}${more}`), h("div", { class: "pr-thumbs" }, ...images), large);
    this.opened.scrollIntoView({ block: "nearest" });
  }
}
