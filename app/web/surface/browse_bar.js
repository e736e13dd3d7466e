// The filters of the Browse tab: what is asked of the pool, as plain fields; the lasso and "like this one" as chips.

import { ROOT } from "./root.js";
import { button, h, number, setText } from "./dom.js";
import { tell } from "./key_hints.js";

const STATES = [["all", "all images"], ["open", "open"], ["labelled", "labelled"], ["rejected", "rejected"], ["skipped", "skipped"], ["flagged", "flagged"], ["holdout", "held out"], ["quarantined", "in quarantine"]];
const ORDERS = [["newest", "newest first"], ["oldest", "oldest first"], ["name", "by file name"], ["sure", "model surest first"], ["unsure", "model least sure first"], ["odd", "fits no class first"], ["bad", "bad pictures first"]];
const TYPED_MS = 250;
export const NOTHING = { state: "all", said: "", suggested: "", low: "", high: "", person: "", round: "", text: "", order: "newest", like: "", lasso: "" };

export class Bar {
  // changed(filter) after every change.
  constructor(changed) {
    this.changed = changed;
    this.filter = { ...NOTHING };
    this.fields = {};
    this.total = h("span", { class: "bw-total", role: "status" });
    this.chips = h("div", { class: "bw-chips" });
    this.search = h("input", { type: "search", "aria-label": "Text in the file name", autocomplete: "off", spellcheck: "false", maxlength: "200" });
    tell(this.search, "search", "file name …");
    this.search.addEventListener("input", () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.set({ text: this.search.value.trim() }), TYPED_MS); });
    this.search.addEventListener("keydown", (event) => { if (event.key === "Escape" || event.key === "Enter") this.search.blur(); });
    const more = h("details", { class: "bw-more" }, h("summary", {}, "more filters"),
      h("div", { class: "bw-fields" }, this.#select("suggested", "model says", [["", "anything"]]), this.#share("low", "from"), this.#share("high", "to"),
        this.#select("person", "answered by", [["", "anybody"]]), this.#select("round", "in round", [["", "any"]])));
    this.more = more;
    this.root = h("div", { class: "bw-bar", role: "search", "aria-label": "Filters" },
      this.#select("state", "show", STATES), this.#select("said", "labelled as", [["", "any class"]]), this.search, this.#select("order", "order", ORDERS), more, this.total);
  }

  #select(name, label, options) {
    const select = h("select", { "data-filter": name }, ...options.map(([value, text]) => h("option", { value }, text)));
    select.addEventListener("change", () => this.set({ [name]: select.value }));
    this.fields[name] = select;
    return h("label", { class: "bw-field" }, h("span", {}, label), select);
  }

  #share(name, label) {
    const input = h("input", { type: "number", min: "0", max: "100", step: "5", inputmode: "numeric", placeholder: name === "low" ? "0" : "100", "data-filter": name });
    input.addEventListener("change", () => this.set({ [name]: input.value === "" ? "" : String(Math.max(0, Math.min(100, Number(input.value))) / 100) }));
    this.fields[name] = input;
    return h("label", { class: "bw-field" }, h("span", {}, label), input, h("span", {}, "%"));
  }

  set(change) {
    this.filter = { ...this.filter, ...change };
    for (const [name, field] of Object.entries(this.fields)) {
      const value = this.filter[name];
      field.value = name === "low" || name === "high" ? (value === "" ? "" : String(Math.round(100 * value))) : value;
    }
    if (document.activeElement !== this.search) this.search.value = this.filter.text;
    if (["suggested", "low", "high", "person", "round"].some((name) => this.filter[name] !== "")) this.more.open = true;
    this.fields.order.disabled = this.filter.like !== "";
    this.#chip();
    this.changed(this.filter);
  }

  #chip() {
    const chips = [];
    if (this.filter.like !== "") chips.push(this.#removable(`most like image ${this.filter.like}`, { like: "" }, `${ROOT}/thumb/${this.filter.like}`));
    if (this.filter.lasso !== "") chips.push(this.#removable("inside the lasso", { lasso: "" }));
    const set = Object.entries(NOTHING).some(([name, value]) => name !== "order" && this.filter[name] !== value);
    if (set) chips.push(button("show everything", () => { this.search.value = ""; this.set({ ...NOTHING, order: this.filter.order }); }, { class: "bw-clear" }));
    this.chips.replaceChildren(...chips);
  }

  #removable(text, change, picture = null) {
    const chip = button(picture ? h("img", { src: picture, alt: "" }) : "", () => this.set(change), { class: "bw-chip", "aria-label": `${text}: remove this filter` });
    chip.append(text, h("span", { "aria-hidden": "true" }, " ×"));
    return chip;
  }

  // What there is to choose from, with numbers.
  offer(choices) {
    const fill = (name, rows) => {
      const [first] = this.fields[name].options;
      const now = this.filter[name];
      const gone = now !== "" && !rows.some(([value]) => String(value) === now);
      this.fields[name].replaceChildren(first, ...rows.map(([value, text]) => h("option", { value }, text)), ...(gone ? [h("option", { value: now }, now)] : []));
      this.fields[name].value = now;
    };
    const counted = (name) => choices.classes.map((each) => [each.class_id, each[name] ? `${each.name} (${number(each[name])})` : each.name]);
    fill("said", counted("said"));
    fill("suggested", choices.model ? counted("suggested") : []);
    fill("person", choices.people.map((each) => [each.annotator_id, each.name]));
    fill("round", choices.rounds.map((each) => [each, `round ${each}`]));
    for (const option of this.fields.state.options) setText(option, `${STATES.find(([value]) => value === option.value)[1]} (${number(choices.states[option.value])})`);
  }
}
