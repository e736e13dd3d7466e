// The first screen: one's own folder, or the demo; and the box for class names.

import { post } from "./api.js";
import { button, h, setText } from "./dom.js";
import { command } from "./empty.js";
import * as uploads from "./uploads.js";

export function state(status) {
  const failed = status.ingest?.error ?? "";
  return { kind: "setup", make: (label) => screen(label), update: (place) => failed && setText(place.querySelector(".rm-problem"), failed) };
}

function screen(label) {
  const folder = h("input", { type: "text", id: "rm-folder", placeholder: "/home/me/pictures", spellcheck: "false", autocomplete: "off" });
  const names = h("textarea", { id: "rm-classes", rows: "5", placeholder: "House Sparrow\nTree Sparrow", spellcheck: "false" });
  const boxes = h("input", { type: "text", id: "rm-boxes", placeholder: "detections.json", spellcheck: "false", autocomplete: "off" });
  const problem = h("p", { class: "rm-problem", role: "alert" });
  const ask = async (kind, payload) => {
    setText(problem, (await command(kind, payload)) ?? "");
    void label.status.ask();
  };
  const own = h(
    "form", { class: "rm-card" }, h("h2", {}, "Use my folder"),
    h("label", { for: "rm-folder" }, "Folder with images, on this machine. Nothing is uploaded."), folder,
    h("label", { for: "rm-classes" }, "Class names, one per line. They can be added later, too."), names,
    h("label", { for: "rm-boxes" }, "Camera traps: the file of MegaDetector, or boxes as COCO. Each box becomes an image."), boxes,
    h("button", { type: "submit", class: "rm-button rm-strong" }, "Use this folder"),
  );
  own.addEventListener("submit", (event) => {
    event.preventDefault();
    void ask("ingest", { folder: folder.value, classes: lines(names.value), boxes: boxes.value });
  });
  const demo = h(
    "div", { class: "rm-card" }, h("h2", {}, "Try the demo"),
    h("p", {}, "600 drawn beetles of eight look-alike kinds. They are drawn on this machine in a few seconds; then labelling starts."),
    button("Try the demo", () => ask("demo", {}), { class: "rm-button rm-strong" }),
  );
  const sent = h(
    "div", { class: "rm-card" }, h("h2", {}, "Send images"),
    h("p", {}, "From the computer in front of you, when RAUM runs on another one. They are copied into the workspace."), uploads.make(() => void label.status.ask()),
  );
  return [h("h1", {}, "What shall be labelled?"), problem, h("div", { class: "rm-cards" }, own, demo, sent)];
}

export function classNames(label) {
  const names = h("textarea", { rows: "5", "aria-label": "Class names, one per line", placeholder: "one name per line", spellcheck: "false" });
  const problem = h("p", { class: "rm-problem", role: "alert" });
  const add = async () => {
    for (const name of lines(names.value)) {
      try {
        await post("/api/v1/classes", { name });
      } catch (refusal) {
        setText(problem, refusal.message);
      }
    }
    await label.loadClasses();
    label.showEmpty();
  };
  return [h("p", {}, "No classes yet. What may an image be?"), names, problem, button("Add these classes", add, { class: "rm-button rm-strong" })];
}

export function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}
