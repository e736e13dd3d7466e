// How far suggestions steer people: agreement with the suggestion in sight, against agreement when it was hidden by lot.

import { get } from "./api.js";
import { h, number, percent } from "./dom.js";

export async function show(place) {
  const answer = await get("/api/v1/steering").catch(() => null);
  if (!answer) return;
  if (!answer.all.shown[0]) return place.replaceChildren(h("p", { class: "rp-unmeasured" }, h("b", {}, "not yet measured"), " Now and then an image comes without its suggestion (the setting hidden_rate); what people say then is compared."));
  place.replaceChildren(h("p", {}, sentence(answer.all)), table("person", answer.people), ...(answer.classes.some((each) => each.wrong[0]) ? [h("h3", {}, "By the class that was suggested"), table("class", answer.classes)] : []));
}

// "Seeing the suggestion raises agreement with it by 6 points (95 % interval 1 to 11)."
export function sentence({ difference, low, high, hidden }) {
  if (difference === null) return `Only ${number(hidden[0])} suggestions were hidden so far: too few to compare.`;
  const points = (value) => (100 * value).toFixed(0);
  const range = `95 % interval ${points(low)} to ${points(high)} points`;
  if (low > 0) return `Seeing the suggestion raises agreement with it by ${points(difference)} points (${range}). Some of that may be people who recognise more with its help; where it was wrong, it misleads.`;
  if (high < 0) return `Seeing the suggestion lowers agreement with it by ${points(-difference)} points (${range}).`;
  return `Seeing the suggestion changes agreement with it by ${points(difference)} points (${range}): no effect is certain.`;
}

function table(what, rows) {
  const head = [what, "agrees, seen", "agrees, hidden", "difference", "followed where wrong"].map((text) => h("th", { scope: "col" }, text));
  const body = rows.map((each) => h("tr", {}, h("th", { scope: "row", title: each.name }, each.name), h("td", {}, of(each.shown)), h("td", {}, of(each.hidden)), h("td", {}, gap(each)), h("td", {}, of(each.wrong))));
  return h("div", { class: "pr-scroll" }, h("table", { class: "pr-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body)));
}

function of([all, some]) {
  return all ? `${percent(some / all)} of ${number(all)}` : "–";
}

function gap({ difference, low, high }) {
  if (difference === null) return "–";
  const points = (value) => (100 * value).toFixed(0);
  return `${points(difference)} (${points(low)} to ${points(high)})`;
}
