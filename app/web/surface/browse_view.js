// One image large, beside it what is known of it and who said what when.

import { get } from "./api.js";
import { ROOT } from "./root.js";
import { button, h, percent, setText } from "./dom.js";
import { tell } from "./key_hints.js";

const KINDS = { reject: "rejected", skip: "skipped", flag: "flagged", retract: "took an answer back", review: "reviewed: " };
const REASONS = { bad_image: "bad image", none_of_the_classes: "none of the classes", other: "other" };

export class Large {
  // act(action) as the keys do; who(): the person who looks.
  constructor({ act, who }) {
    Object.assign(this, { who });
    this.image = h("img", { alt: "" });
    this.title = h("h2", {});
    this.facts = h("dl", { class: "rp-facts" });
    this.history = h("ol", { class: "bw-history", "aria-label": "History, the latest first" });
    this.quiet = h("p", { class: "bw-quiet" });
    const press = (action, text, key) => tell(button(text, () => act(action), { class: "rm-button" }), key);
    this.root = h("section", { class: "bw-large", "aria-label": "One image", hidden: true },
      h("div", { class: "bw-picture" }, this.image),
      h("div", { class: "bw-about" }, this.title,
        h("div", { class: "rm-actions" }, press("back", "←", "left arrow"), press("on", "→", "right arrow"), press("like", "like this one", "like"), press("escape", "close", "Esc")),
        this.quiet, this.facts, h("h3", {}, "Who said what"), this.history));
  }

  get open() {
    return !this.root.hidden;
  }

  close() {
    this.root.hidden = true;
    this.id = null;
    this.image.removeAttribute("src");
  }

  async show(item) {
    this.root.hidden = false;
    if (this.id !== item.image_id) {
      this.image.src = item.state === "quarantined" ? "" : `${ROOT}/image/${item.image_id}`;
      this.image.alt = item.name;
      this.history.replaceChildren();
      this.facts.replaceChildren();
    }
    this.id = item.image_id;
    setText(this.title, item.name);
    const told = await get(`/api/v1/browse/image/${item.image_id}?annotator=${encodeURIComponent(this.who())}`).catch((problem) => ({ problem }));
    if (this.id !== item.image_id || !this.open) return;
    setText(this.quiet, told.problem?.message ?? told.quiet ?? "");
    if (!told.ready) return;
    this.facts.replaceChildren(...facts(told));
    this.history.replaceChildren(...(told.history.length ? told.history.map(line) : [h("li", { class: "bw-none" }, told.hidden ? "not told to you yet" : "Nobody has said anything.")]));
  }
}

function facts(told) {
  const rows = [["state", told.state], ["class", told.class], ["model says", told.suggestion && `${told.suggestion.name} ${percent(told.suggestion.probability)}`], ["size", told.width && `${told.width} × ${told.height} px`], ["", told.state === "quarantined" && "why it cannot be read: see the Data tab"], ["file", told.path]];
  return rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

function line(each) {
  const reason = each.reason ? `: ${REASONS[each.reason] ?? each.reason}` : "";
  const said = each.kind === "label" ? each.class : each.kind === "review" ? `reviewed: ${each.class ?? "rejected"}` : each.asked ? `passed to ${each.asked}` : `${KINDS[each.kind]}${reason}`;
  const how = [each.bulk ? "with others" : "", each.round ? `round ${each.round}` : "", each.taken_back ? "taken back" : ""].filter(Boolean).join(", ");
  const when = new Date(1000 * each.at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  return h("li", { class: each.taken_back ? "bw-gone" : "" }, h("span", { class: "bw-who" }, each.annotator), h("span", {}, said, each.note ? ` “${each.note}”` : ""), h("small", {}, [when, how].filter(Boolean).join(" · ")));
}
