// A study of suggestion and map: begun and ended here, and what it says so far, never more than its intervals do.

import { get, post } from "./api.js";
import { button, h, number, percent } from "./dom.js";

export async function show(place) {
  const told = await get("/api/v1/study").catch(() => null);
  if (!told || place.contains(document.activeElement)) return; // nobody's typing is taken away
  const goesOn = told.study !== null && told.study.ended_at === null;
  place.replaceChildren(...(told.study ? found(told) : [h("p", { class: "rp-quiet" }, "Does the map help your people, and how far do they follow wrong suggestions? A study hides them in some blocks of images and compares.")]), goesOn ? ending(place) : form(place));
}

function found(told) {
  const { study } = told;
  const shown = ["suggestion", "map"].filter((name) => study[name]).join(" and ");
  const state = study.ended_at === null ? "goes on" : "has ended";
  const head = `Study ${study.number} of ${shown} ${state}: ${number(told.answers)} answers by ${number(told.people)} ${told.people === 1 ? "person" : "people"}, blocks of ${study.images} images.`;
  return [h("p", {}, head), h("ul", { class: "st-says" }, ...told.sentences.map((text) => h("li", {}, text))), table(told.conditions)];
}

function table(conditions) {
  const head = ["shown", "answers", "seconds each", "right on gold", "followed where wrong"].map((text) => h("th", { scope: "col" }, text));
  const rows = conditions.map((each) => h("tr", {}, h("th", { scope: "row" }, named(each)), h("td", {}, number(each.answers)), h("td", {}, seconds(each.seconds)), h("td", {}, share(each.gold)), h("td", {}, share(each.followed))));
  return h("div", { class: "pr-scroll" }, h("table", { class: "pr-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

export function named({ suggestion, map }) {
  return [suggestion && "suggestion", map && "map"].filter(Boolean).join(" and ") || "neither";
}

export function seconds(interval) {
  if (interval === null) return "–";
  const [middle, low, high] = interval.map((value) => value.toFixed(1));
  return `${middle} (${low} to ${high})`;
}

// [of how many, how many, low, high]
export function share([all, some, low, high]) {
  return all ? `${percent(some / all)} of ${number(all)} (${percent(low)} to ${percent(high)})` : "–";
}

function form(place) {
  const field = (attributes, label) => {
    const input = h("input", attributes);
    return { input, line: h("label", {}, input, ` ${label}`) };
  };
  const images = field({ type: "number", min: 2, max: 200, value: 10 }, "images in a block");
  const gold = field({ type: "number", min: 0, max: 100, value: 20 }, "% gold images (decided in the Review tab)");
  const suggestion = field({ type: "checkbox", checked: true }, "hide suggestions in half of the blocks");
  const map = field({ type: "checkbox", checked: true }, "hide maps in half of the blocks");
  const begin = () => order(place, { action: "begin", images: Number(images.input.value), gold: Number(gold.input.value) / 100, suggestion: suggestion.input.checked, map: map.input.checked });
  return h("fieldset", { class: "st-form" }, h("legend", {}, "A new study"), ...[images, gold, suggestion, map].map((each) => each.line), button("begin the study", begin, { class: "rm-button" }), h("p", { class: "rp-quiet", role: "status" }));
}

function ending(place) {
  return h("div", { class: "st-form" }, button("end the study", () => order(place, { action: "end" }), { class: "rm-button" }), h("p", { class: "rp-quiet", role: "status" }, "While it goes on, each image that is asked by itself, and not blind, with a suggestion and a map belongs to it."));
}

async function order(place, body) {
  try {
    await post("/api/v1/study", body);
    document.activeElement?.blur?.();
    await show(place);
  } catch (problem) {
    place.querySelector("[role=status]").textContent = problem.message;
  }
}
