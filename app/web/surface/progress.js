// The Progress tab: what the model has learned, on what evidence, and what the worker does now.

import { get } from "./api.js";
import { button, duration, h, number, percent, setText } from "./dom.js";
import { command, commanded } from "./empty.js";
import { Confusion } from "./confusion.js";
import * as finish from "./finish.js";
import { may } from "./login.js";
import * as pace from "./pace.js";
import * as plots from "./plots.js";
import { Rounds } from "./rounds.js";
import * as steering from "./steering.js";
import * as study from "./study.js";
import { line } from "./status.js";

const FINISH_MS = 4000;

export function mount(slot, status) {
  const part = (name, ...children) => h("section", { class: "rp-card", "data-part": name }, ...children);
  const wide = (name, title, body) => h("section", { class: "rp-card rp-wide", "data-part": name }, h("h2", {}, title), body);
  const parts = {
    figures: h("div", { class: "rp-figures" }),
    worker: h("div", {}),
    accuracy: h("div", {}),
    calibration: h("div", {}),
    classes: h("div", { class: "rp-classes" }),
    pace: h("div", {}),
    steering: h("div", {}),
    study: h("div", {}),
    rounds: new Rounds(h("div", {})),
    confusion: new Confusion(h("div", {})),
    log: log(),
    said: h("p", { class: "rp-quiet", role: "status" }),
    publication: undefined,
    foreseen: null,
    curve: null,
    finishOf: null,
    finishAsked: 0,
  };
  parts.finish = finish.make((answer) => {
    parts.finishOf = answer.publication ?? null;
    const before = JSON.stringify(parts.foreseen);
    parts.foreseen = answer.forecast ?? null;
    if (JSON.stringify(parts.foreseen) !== before && parts.curve) drawCurve(parts);
  });
  const ask = async (kind, done) => setText(parts.said, (await command(kind)) ?? done);
  const stop = () => commanded("stop", {}, { asked: "asked …", done: "the round ends, nothing of it is used; the next one waits for new labels" }, (text) => setText(parts.said, text));
  parts.stop = button("stop the round", stop, { class: "rm-button" });
  parts.pause = button("pause training", () => ask(status.value?.paused ? "resume" : "pause", "asked"), { class: "rm-button" });
  const orders = may("manage") ? [button("train now", () => ask("train", "asked: a round starts as soon as the worker is free"), { class: "rm-button rm-strong" }), parts.pause, parts.stop] : [];
  slot.replaceChildren(
    h("div", { class: "rp", tabindex: "-1" },
      parts.figures,
      part("finish", h("h2", {}, "Finish"), parts.finish.body),
      part("accuracy", h("h2", {}, "Accuracy on the holdout"), parts.accuracy),
      part("calibration", h("h2", {}, "Calibration"), parts.calibration),
      part("worker", h("h2", {}, "Worker"), parts.worker, h("div", { class: "rm-actions" }, ...orders), parts.said, ...(may("manage") ? [parts.log] : [])),
      part("classes", h("h2", {}, "Labels by class"), parts.classes),
      ...(may("review") ? [part("pace", h("h2", {}, "Pace"), parts.pace), wide("steering", "How far suggestions steer people", parts.steering), wide("study", "Study", parts.study)] : []),
      wide("rounds", "Rounds", parts.rounds.place),
      ...(may("review") ? [wide("confusion", "What the model takes for what", parts.confusion.place)] : [])),
  );
  const hear = (value, away) => slot.isConnected && slot.checkVisibility() && update(parts, value, away);
  status.listen(hear);
  new IntersectionObserver(() => hear(status.value, status.away)).observe(slot);
}

function update(parts, value, away) {
  if (!value) return;
  figures(parts.figures, value);
  worker(parts, value, away);
  classes(parts.classes, value.classes);
  askFinish(parts, value.publication);
  const work = `${value.round}/${value.training}/${value.last_failure}`;
  if (parts.work !== work) void parts.rounds.load();
  parts.work = work;
  const key = `${value.publication}/${value.labels?.total}`;
  if (parts.publication === key) return;
  parts.publication = key;
  void history(parts);
  if (!may("review")) return;
  void pace.show(parts.pace);
  void steering.show(parts.steering);
  void study.show(parts.study);
  void parts.confusion.load();
}

// A publication is measured a while after it appears: until then, ask now and then.
function askFinish(parts, publication) {
  if (parts.finishAsked && (parts.finishOf === publication || Date.now() - parts.finishAsked < FINISH_MS)) return;
  parts.finishAsked = Date.now();
  void parts.finish.ask();
}

function figures(place, value) {
  const labels = value.labels ?? {};
  const told = [
    [number(labels.total ?? 0), "labels"], [number(labels.today ?? 0), "today"], [number(labels.pool ?? 0), "images open"],
    [number(labels.holdout_open ?? 0), "holdout open"], [number(value.images), "images"], [value.round ?? "none", "round"],
  ];
  place.replaceChildren(...told.map(([figure, name]) => h("div", {}, h("b", {}, String(figure)), h("span", {}, name))));
}

function worker(parts, value, away) {
  const facts = [["state", line(value, away) || value.phase || "idle"], ["doing", value.worker_alive || value.ingest || value.phase === "failed" ? value.message : "nothing: restart launch.py to go on learning; answers are kept meanwhile"], ["backbone", value.backbone && `${value.backbone.name}: ${value.backbone.why}`], ["better here", value.backbone?.better && `${value.backbone.better}: ${value.backbone.command}`], ["new backbone", value.switch?.message], ["device", value.device], ["scan", value.kernel],
    ["throughput", value.throughput ? `${Number(value.throughput).toFixed(0)} images/s` : null], ["time left", value.eta_s ?? value.switch?.eta_s ? duration(value.eta_s ?? value.switch.eta_s) : null], ["last failure", value.last_failure]];
  const lines = facts.filter(([, text]) => text).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, String(text))]);
  const bar = value.fraction ? h("progress", { max: 1, value: value.fraction, "aria-label": value.phase }) : null;
  parts.worker.replaceChildren(h("dl", { class: "rp-facts" }, ...lines), ...(bar ? [bar] : []));
  setText(parts.pause, value.paused ? "go on training" : "pause training");
  parts.stop.hidden = !value.training;
}

// The worker's log, asked for when it is opened.
function log() {
  const lines = h("pre", { tabindex: "0", "aria-label": "The worker's log" });
  const element = h("details", { class: "pr-log" }, h("summary", {}, "log"), lines);
  element.addEventListener("toggle", async () => {
    if (!element.open) return;
    const answer = await get("/api/v1/log").catch((problem) => ({ lines: [problem.message] }));
    setText(lines, answer.lines.join("\n") || "Nothing was written yet.");
    lines.scrollTop = lines.scrollHeight;
  });
  return element;
}

function classes(place, counts) {
  const most = Math.max(1, ...counts.map((each) => each.count));
  const rows = [...counts].sort((a, b) => b.count - a.count).map((each) => {
    const bar = h("span", { class: "rm-bar" });
    bar.style.transform = `scaleX(${each.count / most})`;
    return h("div", { class: "rp-row" }, h("span", { class: "rp-name", title: each.name }, each.name), h("span", { class: "rm-track", "aria-hidden": "true" }, bar), h("span", { class: "rp-count" }, number(each.count)));
  });
  place.replaceChildren(...(rows.length ? rows : [h("p", { class: "rp-quiet" }, "No classes yet.")]));
}

async function history(parts) {
  const answer = await get("/api/v1/history").catch(() => null);
  if (!answer) return;
  const measured = answer.rounds.filter((point) => point.accuracy !== null && point.labels !== null);
  parts.curve = measured;
  drawCurve(parts);
  const bins = answer.calibration.filter((bin) => bin.count);
  const ece = measured.at(-1)?.ece;
  const told = ece === null || ece === undefined ? "" : `expected calibration error ${percent(ece, 1)}`;
  parts.calibration.replaceChildren(...(bins.length ? [plots.calibration(bins), h("p", { class: "rp-quiet" }, told)] : [unmeasured("It is measured on the same answers.")]));
}

function drawCurve(parts) {
  const points = parts.curve;
  parts.accuracy.replaceChildren(...(points.length ? accuracy(points, parts.foreseen?.curve ?? []) : [unmeasured("Holdout images are mixed into the queue and asked blind; the first figure comes after 20 of them.")]));
}

function accuracy(points, ahead) {
  const last = points.at(-1);
  const told = `${percent(last.accuracy)} (95 % interval ${percent(last.low)} to ${percent(last.high)}) at ${number(last.labels)} labels, from ${number(last.n)} holdout answers. Large dots are rounds, small ones refreshes.${ahead.length ? " The broken line is a forecast with its 95 % range." : ""}`;
  return [plots.accuracy(points, ahead), h("p", { class: "rp-quiet" }, told)];
}

function unmeasured(why) {
  return h("p", { class: "rp-unmeasured" }, h("b", {}, "not yet measured"), ` ${why}`);
}
