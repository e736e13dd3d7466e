// How well each annotator does, with intervals: a small table, as far as it was measured.

import { get } from "./api.js";
import { h, number, percent } from "./dom.js";

const METHODS = {
  dawid_skene_model: "Answers are weighed by what each person was seen to confuse, the calibrated model as one more annotator.",
  dawid_skene: "Answers are weighed by what each person was seen to confuse; the model is not asked, it is not calibrated well enough.",
  crowdlab: "Answers are weighed by how often each person agrees with the others and with the model.",
  majority: "The answer of most people counts.",
};

export async function show(place) {
  const answer = await get("/api/v1/people").catch(() => null);
  if (!answer) return;
  if (!answer.people.length) {
    place.replaceChildren(h("p", { class: "rv-quiet" }, "Not measured yet: it takes images that two people have answered (the setting overlap), or one person and a calibrated model."));
    return;
  }
  const head = ["name", "answers", "right", "95 %"].map((text) => h("th", { scope: "col" }, text));
  const rows = [...answer.people].sort((a, b) => b.accuracy - a.accuracy).map((each) =>
    h("tr", {}, h("th", { scope: "row", title: each.name }, each.name), h("td", {}, number(each.answers)), h("td", {}, percent(each.accuracy)), h("td", {}, `${percent(each.low)} – ${percent(each.high)}`)));
  place.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)), h("p", { class: "rv-quiet" }, METHODS[answer.method] ?? ""));
}
