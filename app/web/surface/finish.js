// The Finish card: how many labels may be taken now for an error rate, how right the model is, and whether to go on.

import { get } from "./api.js";
import { h, number, percent, setText } from "./dom.js";
import { ROOT, may } from "./login.js";

// Positions of the slider, in percent: fine where it matters.
export const RATES = [0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 20];
const USUAL = RATES.indexOf(2);
const WAIT_MS = 80;

export function rateText(rate) {
  return `at most ${rate} % wrong`;
}

// The card and a function that asks anew; `heard(answer)` gets every answer, for the plot of the forecast.
export function make(heard) {
  const slider = h("input", { type: "range", id: "rp-rate", min: "0", max: String(RATES.length - 1), step: "1", value: String(USUAL), class: "rf-slider" });
  const rate = h("output", { for: "rp-rate", class: "rf-rate" });
  const sentence = h("p", { class: "rf-sentence", role: "status", "data-part": "sentence" });
  const bar = h("div", { class: "rf-bar", role: "img", "aria-label": "not measured yet" });
  const facts = h("dl", { class: "rp-facts" });
  const save = h("a", { class: "rm-button rm-strong", "data-part": "export" }, "export now");
  const proof = h("p", { class: "rp-quiet" });
  const body = h("div", { class: "rf-body" }, h("div", { class: "rf-ask" }, h("label", { for: "rp-rate" }, "Wrong labels you can live with"), rate, slider), sentence, bar, h("div", { class: "rm-actions" }, save), proof, facts);
  const parts = { slider, rate, sentence, bar, facts, save, proof };
  let asked = 0;
  const ask = async () => {
    const mine = (asked += 1);
    const wrong = RATES[Number(slider.value)] / 100;
    const answer = await get(`/api/v1/finish?wrong=${wrong}`).catch(() => null);
    if (mine !== asked || !answer) return;
    show(parts, answer, wrong);
    heard(answer);
  };
  let waiting = 0;
  const told = () => {
    const text = rateText(RATES[Number(slider.value)]);
    setText(rate, text);
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", () => {
    told();
    clearTimeout(waiting);
    waiting = setTimeout(ask, WAIT_MS);
  });
  told();
  return { body, ask };
}

function show(parts, answer, wrong) {
  setText(parts.sentence, answer.measured ? unbroken(answer.sentence) : "Not yet measured: it needs labels of two classes and a moment in which nobody answers.");
  parts.save.hidden = !answer.measured || !may("manage");
  parts.bar.hidden = !answer.measured;
  parts.facts.replaceChildren();
  setText(parts.proof, "");
  if (!answer.measured) return;
  parts.save.setAttribute("href", `${ROOT}/api/v1/export?certified_wrong=${wrong}`);
  parts.save.setAttribute("download", "labels-certified.csv");
  filled(parts.bar, answer);
  setText(parts.proof, answer.model
    ? `Proved by ${number(answer.answers)} blind answers: at most ${percent(answer.most_wrong, 1)} of all these labels are wrong. Move the slider freely, the promise holds at every position. People count as right.`
    : `${number(answer.answers)} blind answers counted. Holdout and audit images come by themselves while you label.`);
  parts.proof.append(` Measured at ${number(answer.people)} labels by people; measured anew whenever nobody answers for a moment.`);
  parts.facts.replaceChildren(...facts(answer).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
}

// No line begins with a lonely percent sign.
function unbroken(text) {
  return text.replaceAll(" %", "\u00a0%");
}

function filled(bar, answer) {
  const all = Math.max(1, answer.labelled + answer.left);
  const shares = [["people", answer.people], ["model", answer.model], ["you", answer.left]];
  bar.setAttribute("aria-label", `${number(answer.people)} by people, ${number(answer.model)} by the model, ${number(answer.left)} left`);
  bar.replaceChildren(...shares.map(([who, count]) => {
    const piece = h("span", { "data-who": who });
    piece.style.flexGrow = String(count / all);
    return piece;
  }));
}

function facts(answer) {
  const known = answer.estimate;
  const found = [["by people", number(answer.people)], ["by the model", number(answer.model)], ["left for you", number(answer.left)]];
  found.push(["accuracy now", known ? `${percent(known.accuracy, 1)} (${percent(known.low, 1)} to ${percent(known.high, 1)}), from ${number(known.answers)} blind answers` : "not yet measured: it needs blind answers"]);
  found.push(["more labels", answer.forecast_sentence || "no forecast yet: it needs 20 blind answers and a few dozen labels"]);
  found.push(["advice", answer.advice.sentence]);
  return found;
}
