// What stands where the image would be when there is none, or when something hinders: a sentence and a button that helps.

import { Refused, get, post } from "./api.js";
import * as controls from "./controls.js";
import { button, h, number, percent, setText } from "./dom.js";
import { ended, may } from "./login.js";
import * as setup from "./setup.js";

// Chooses and shows the state of the labelling surface.
export function show(label) {
  const state = choose(label);
  const place = label.part("state");
  label.root.dataset.mode = state?.mode ?? "label";
  if (place.dataset.kind === (state?.kind ?? "")) {
    if (state?.update) state.update(place);
    return;
  }
  place.dataset.kind = state?.kind ?? "";
  place.replaceChildren(...(state ? state.make(label) : []));
  if (state?.update) state.update(place);
}

function choose(label) {
  const status = label.status.value;
  if (label.current?.broken) return simple("broken", "This image could not be loaded. Skip it, or reject it as a bad image.", [["skip", () => controls.act(label, "skip", "click")], ["reject", () => controls.act(label, "reject", "click")]]);
  if (status && !status.images) return status.ingest && !status.ingest.error ? arriving(status) : setting(status);
  if (label.current && !label.classes.length && status) return may("review") ? { kind: "classes", mode: "label", make: () => setup.classNames(label) } : simple("classes", "No classes yet: a reviewer or an admin adds them.", []);
  if (label.current) return null;
  if (ended()) return simple("out", "Nothing can be fetched until you are logged in again. Your answers are kept here.", []);
  if (label.status.away || label.stock.problem) return simple("away", "The server is away. Your answers are kept here and sent when it is back.", [["try again", () => label.status.ask()]]);
  if (!status || !label.stock.asked || label.stock.first) return simple("fetching", "fetching the next image …", []);
  return drained(label, status);
}

function drained(label, status) {
  const left = (status.labels?.pool ?? 0) + (status.labels?.holdout_open ?? 0);
  if (left > 0) return simple("others", `${number(left)} images are left, but others are looking at them, or you have skipped them.`, [["look again", () => label.stock.topUp()]]);
  const undo = ["undo my last answer", () => label.undo()];
  if (!may("manage")) return simple("done", "Everything is labelled. Thank you.", [undo]);
  return simple("done", "Everything is labelled. Export the labels, or add more images.", [["open Data", () => openTab("Data")], undo]);
}

function setting(status) {
  return may("manage") ? { ...setup.state(status), mode: "setup" } : simple("setup", "No images yet: an admin adds them.", []);
}

function simple(kind, sentence, actions) {
  return { kind, mode: "label", make: () => [h("p", {}, sentence), h("div", { class: "rm-actions" }, ...actions.map(([text, action]) => button(text, action, { class: "rm-button" })))] };
}

function arriving(status) {
  const update = (place) => {
    setText(place.querySelector("p"), `${status.ingest.message || "reading the images"} …`);
    setText(place.querySelector("small"), status.ingest.fraction ? percent(status.ingest.fraction) : "");
    const bar = place.querySelector("progress");
    if (status.ingest.fraction) bar.value = status.ingest.fraction;
  };
  return { kind: "arriving", mode: "label", update, make: () => [h("p", {}), h("progress", { max: 1, "aria-label": "images read" }), h("small", {})] };
}

// What hinders in the background, as one quiet button in the status line that leads to where it is told.
export function notice(place, status) {
  const stopped = status && !status.worker_alive && status.images > 0;
  const aside = may("manage") ? (status?.quarantined ?? 0) : 0;
  const told = stopped ? "worker stopped" : aside ? `${number(aside)} set aside` : "";
  if (place.dataset.told === told) return;
  place.dataset.told = told;
  const title = stopped ? "Answers are kept; nothing is learned until the worker runs again" : "Files that could not be used, and why";
  place.replaceChildren(...(told ? [button(told, () => openTab(stopped ? "Progress" : "Data"), { title })] : []));
}

export function openTab(name) {
  [...document.querySelectorAll('[role="tab"]')].find((tab) => tab.textContent.trim() === name)?.click();
}

// Ask the worker for something; resolves to a sentence for the person.
export async function command(kind, payload = {}) {
  try {
    await post("/api/v1/commands", { kind, payload });
    return null;
  } catch (problem) {
    return problem instanceof Refused ? problem.message : "The server is away; try again in a moment.";
  }
}

// The same, and what became of it as soon as the worker has taken it up; `told` is called with each sentence.
export async function commanded(kind, payload, { asked, done }, told) {
  let id;
  try {
    id = (await post("/api/v1/commands", { kind, payload })).command_id;
  } catch (problem) {
    return told(problem instanceof Refused ? problem.message : "The server is away; try again in a moment.");
  }
  told(asked);
  for (let wait = 500; wait < 60000; wait *= 1.5) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const answer = await get(`/api/v1/commands/${id}`).catch(() => null);
    if (answer?.finished) return told(answer.error ?? done);
  }
}
