// Starts the surfaces: images are claimed at once, while Gradio still loads; its tabs get their surfaces when they appear.

import { Browse } from "./browse.js";
import { Card } from "./card.js";
import { Classes } from "./classes.js";
import * as data from "./data.js";
import * as hints from "./key_hints.js";
import { h, setText } from "./dom.js";
import { Identity, uuid } from "./identity.js";
import { Label } from "./label.js";
import { ended, hideTabs } from "./login.js";
import { Modes } from "./modes.js";
import * as pins from "./pins.js";
import * as progress from "./progress.js";
import { Review } from "./review.js";
import { Status, line } from "./status.js";

function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const asked = new URLSearchParams(location.search).get("__theme");
  const apply = () => {
    const isDark = asked === "dark" || (asked !== "light" && dark.matches);
    document.documentElement.dataset.raumTheme = isDark ? "dark" : "light";
  };
  dark.addEventListener("change", apply);
  apply();
}

function header(status) {
  const element = h("div", { id: "raum-state", role: "status" });
  document.body.append(element);
  status.listen((value, away) => setText(element, ended() ? "logged out" : line(value, away)));
}

function mount(name, slot, surfaces) {
  const { status, root } = surfaces;
  if (name === "label") slot.replaceChildren(root);
  else if (name === "review") new Review(slot, surfaces);
  else if (name === "browse") new Browse(slot, surfaces);
  else if (name === "classes") new Classes(slot, surfaces);
  else if (name === "progress") progress.mount(slot, status);
  else if (name === "data") data.mount(slot, status);
}

// How many images wait for a review, beside the tab's name.
function countReviews(value) {
  const count = ["suspected", "disagreement", "flag"].reduce((sum, kind) => sum + (value?.review?.[kind] ?? 0), 0);
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    if (tab.textContent.trim() !== "Review") continue;
    if (count) tab.dataset.count = count;
    else delete tab.dataset.count;
  }
}

async function start() {
  followTheme();
  hideTabs();
  hints.follow();
  const identity = new Identity();
  const status = new Status(identity);
  const root = document.getElementById("raum-label").content.firstElementChild.cloneNode(true);
  document.body.append(root);
  header(status);
  status.listen(countReviews);
  const surfaces = { status, root, identity };
  const adopt = () => {
    (window.raumSlots ?? []).splice(0).forEach(([name, slot]) => mount(name, slot, surfaces));
    countReviews(status.value);
  };
  const label = new Label(root, identity, status);
  label.modes = new Modes(label);
  surfaces.label = label;
  label.card = new Card(label);
  pins.listen(label);
  window.addEventListener("raum-slot", adopt);
  adopt();
  window.raum = { timings: label.timings, label, modes: label.modes, uuid };
  await identity.settle();
  label.begin();
  void status.ask();
}

void start();
