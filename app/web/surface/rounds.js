// The rounds: what each reached, two of them side by side, and the way back to an earlier one.

import { get } from "./api.js";
import { button, duration, h, number, percent, setText } from "./dom.js";
import { commanded } from "./empty.js";
import { may } from "./login.js";

const SHOWN = 8;
const FIGURES = [
  ["accuracy on the holdout", (each) => (each.accuracy === null ? null : `${percent(each.accuracy, 1)} (${percent(each.low, 1)} to ${percent(each.high, 1)})`)],
  ["holdout answers", (each) => each.n && number(each.n)],
  ["calibration error", (each) => each.ece !== null && percent(each.ece, 1)],
  ["log loss", (each) => each.nll !== null && each.nll.toFixed(3)],
  ["Brier score", (each) => each.brier !== null && each.brier.toFixed(3)],
  ["labels", (each) => each.labels !== null && number(each.labels)],
  ["took", (each) => each.seconds && duration(each.seconds)],
  ["method", (each) => each.method],
  ["backbone", (each) => each.backbone],
  ["seed", (each) => String(each.seed)],
  ["ended", (each) => each.finished_at && when(each.finished_at)],
];

export class Rounds {
  constructor(place) {
    this.place = place;
    this.all = false;
    this.chosen = []; // at most two round numbers, to compare
    this.said = h("p", { class: "rp-quiet", role: "status" });
  }

  async load() {
    const answer = await get("/api/v1/rounds").catch(() => null);
    if (answer) this.answer = answer;
    if (this.answer) this.show();
  }

  show() {
    const { rounds, shown } = this.answer;
    if (!rounds.length) return this.place.replaceChildren(h("p", { class: "rp-quiet" }, "No round yet. Refreshes learn after every few labels; a round trains the whole network and starts by itself."));
    const listed = this.all ? rounds : rounds.slice(0, SHOWN);
    const head = ["", "round", "accuracy", "labels", "took", "state", ""].map((text, i) => h("th", { scope: "col", class: text === "state" ? "pr-state" : null }, i ? text : h("span", { class: "pr-hidden" }, "compare")));
    const more = rounds.length > listed.length ? [button(`show all ${number(rounds.length)}`, () => this.showAll(), { class: "rm-button" })] : [];
    this.place.replaceChildren(
      h("div", { class: "pr-scroll" }, h("table", { class: "pr-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...listed.map((each) => this.row(each, shown))))),
      ...more, this.said, ...this.compared());
  }

  showAll() {
    this.all = true;
    this.show();
  }

  row(each, shown) {
    const box = h("input", { type: "checkbox", "aria-label": `compare round ${each.round}`, onchange: (event) => this.choose(each.round, event.target.checked) });
    box.checked = this.chosen.includes(each.round);
    const back = may("manage") && each.kept && each.round !== shown ? button("use this one", () => this.back(each.round), { class: "rm-button", "aria-label": `use round ${each.round}` }) : null;
    return h("tr", { "aria-current": each.round === shown ? "true" : null },
      h("td", {}, each.status === "published" ? box : ""), h("th", { scope: "row" }, String(each.round)), h("td", {}, each.accuracy === null ? "–" : percent(each.accuracy, 1)),
      h("td", {}, each.labels === null ? "–" : number(each.labels)), h("td", {}, each.seconds ? duration(each.seconds) : "–"), h("td", { class: "pr-state" }, stateText(each, shown)), h("td", {}, back ?? ""));
  }

  choose(round, on) {
    this.chosen = on ? [...this.chosen, round].slice(-2) : this.chosen.filter((each) => each !== round);
    this.show();
  }

  async back(round) {
    const said = { asked: `asked for round ${round} …`, done: `round ${round} ranks and suggests from now on, until the next round is published` };
    await commanded("roll_back", { round }, said, (text) => setText(this.said, text));
    void this.load();
  }

  compared() {
    if (this.chosen.length < 2) return [];
    const [a, b] = [...this.chosen].sort((x, y) => x - y).map((round) => this.answer.rounds.find((each) => each.round === round));
    const rows = FIGURES.map(([name, told]) => [name, told(a) || "–", told(b) || "–"]).filter(([, left, right]) => left !== "–" || right !== "–");
    const body = rows.map(([name, left, right]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, left), h("td", { class: left === right ? "" : "pr-differs" }, right)));
    return [h("h3", {}, `Round ${a.round} and round ${b.round}`), h("div", { class: "pr-scroll" }, h("table", { class: "pr-table pr-compare" }, h("thead", {}, h("tr", {}, ...["", `round ${a.round}`, `round ${b.round}`].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...body))), h("p", { class: "rp-quiet" }, verdict(a, b))];
  }
}

// What two accuracies say of each other: intervals that share much say little.
export function verdict(a, b) {
  if (a.accuracy === null || b.accuracy === null) return "One of them was not measured on the holdout.";
  const overlap = Math.min(a.high, b.high) >= Math.max(a.low, b.low);
  const [better, worse] = a.accuracy > b.accuracy ? [a, b] : [b, a];
  if (better.accuracy === worse.accuracy) return "Both are right equally often.";
  const ahead = `Round ${better.round} is ahead by ${(100 * (better.accuracy - worse.accuracy)).toFixed(1)} points`;
  return overlap ? `${ahead}, but the intervals share values: it may be chance.` : `${ahead}, more than chance explains.`;
}

function stateText(each, shown) {
  if (each.round === shown) return "in use";
  if (each.status === "failed") return each.error ?? "failed";
  if (each.kept_because) return each.kept_because;
  if (each.status === "published") return each.kept ? "kept" : "file is gone";
  return each.status;
}

function when(seconds) {
  return new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
