// The Data tab: more images, the way out for the labels, and the files that could not be used.

import { get, post } from "./api.js";
import { button, h, number, setText } from "./dom.js";
import { command, commanded } from "./empty.js";
import { importing } from "./import.js";
import { ROOT, may } from "./login.js";
import * as team from "./team.js";
import * as uploads from "./uploads.js";

const EXPORT_MS = 1800000;

export function mount(slot, status) {
  const quarantine = h("div", { class: "rp-quarantine" });
  const count = h("span", {});
  const alike = h("div", { class: "dd-list" });
  const manages = may("manage");
  slot.replaceChildren(
    h("div", { class: "rp" },
      manages ? card("Add images", adding(status)) : "",
      manages ? card("Export", exporting()) : "",
      manages ? card("Import labels", importing(status)) : "",
      manages ? card("Backup", backup()) : "",
      manages ? team.card(slot) : "",
      manages ? h("section", { class: "rp-card rp-wide" }, h("h2", {}, "Quarantine ", count), quarantine) : "",
      h("section", { class: "rp-card rp-wide", "data-part": "duplicates" }, h("h2", {}, "Near-duplicates"), alike)),
  );
  let shown = null;
  let images = null;
  const hear = (value) => {
    if (!value || !slot.isConnected || !slot.checkVisibility()) return;
    if (images !== value.images) void duplicates(alike);
    images = value.images;
    if (!manages || shown === value.quarantined) return;
    shown = value.quarantined;
    setText(count, shown ? `· ${number(shown)}` : "");
    void list(quarantine);
  };
  status.listen(hear);
  new IntersectionObserver(() => hear(status.value)).observe(slot);
}

function card(title, children) {
  return h("section", { class: "rp-card" }, h("h2", {}, title), ...children);
}

function adding(status) {
  const folder = h("input", { type: "text", id: "rd-folder", placeholder: "/home/me/pictures", spellcheck: "false", autocomplete: "off" });
  const boxes = h("input", { type: "text", id: "rd-boxes", placeholder: "detections.json", spellcheck: "false", autocomplete: "off" });
  const said = h("p", { class: "rp-quiet", role: "status" });
  const form = h("form", { class: "rp-form" },
    h("label", { for: "rd-folder" }, "Folder on this machine; only what is new is added, nothing is copied."), folder,
    h("label", { for: "rd-boxes" }, "Camera traps, if new: the file of MegaDetector, or boxes as COCO. Each box becomes an image."), boxes,
    h("button", { type: "submit", class: "rm-button rm-strong" }, "Add this folder"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(said, (await command("ingest", { folder: folder.value, boxes: boxes.value })) ?? "asked: the images are read in the background");
    void status.ask();
  });
  status.listen((value) => value?.ingest && setText(said, value.ingest.error ?? value.ingest.message));
  return [form, said, uploads.make(() => void status.ask())];
}

function exporting() {
  const said = h("p", { class: "rp-quiet", role: "status" });
  const folder = async () => {
    setText(said, "copying the images …");
    const done = await post("/api/v1/export", {}, EXPORT_MS).catch((problem) => ({ problem }));
    setText(said, done.problem ? done.problem.message : `${number(done.labelled)} labelled and ${number(done.rejected)} rejected images are in ${done.folder}`);
  };
  return [
    h("p", {}, h("a", { href: `${ROOT}/api/v1/export?format=csv`, class: "rm-button", download: "labels.csv" }, "CSV"), h("span", { class: "rp-quiet" }, " one line per answered image")),
    h("p", {}, button("ImageFolder", folder, { class: "rm-button" }), h("span", { class: "rp-quiet" }, " copies into the workspace, one folder per class")),
    said,
  ];
}

function backup() {
  const said = h("p", { class: "rp-quiet", role: "status" });
  const now = () => commanded("backup", {}, { asked: "asked: it is written while work goes on …", done: "a backup of this moment is in the workspace's folder backups" }, (text) => setText(said, text));
  return [h("p", { class: "rp-quiet" }, "One is written each day and before every upgrade; the newest are kept. launch.py restore brings one back."), h("p", {}, button("Back up now", now, { class: "rm-button" })), said];
}

async function list(place) {
  const answer = await get("/api/v1/quarantine").catch(() => null);
  if (!answer) return;
  const rows = answer.images.map((each) => h("tr", {}, h("td", {}, each.path), h("td", {}, each.problem ?? "")));
  place.replaceChildren(rows.length
    ? h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "file"), h("th", {}, "why it cannot be used"))), h("tbody", {}, ...rows))
    : h("p", { class: "rp-quiet" }, "No file had to be set aside."));
}

// Groups of near-duplicates and bursts: together in the pool or together held out, never on both sides.
async function duplicates(place) {
  const answer = await get("/api/v1/duplicates").catch(() => null);
  if (!answer) return;
  const groups = answer.groups.map((ids) => h("div", { class: "dd-group" }, ...ids.map((id) => h("a", { href: `${ROOT}/image/${id}`, target: "_blank", rel: "noopener" }, h("img", { src: `${ROOT}/thumb/${id}`, alt: `image ${id}`, loading: "lazy" })))));
  const text = answer.count ? `${number(answer.images)} images in ${number(answer.count)} groups look nearly the same; a group is never split between what teaches and what tests.${answer.count > groups.length ? ` The largest ${number(groups.length)} are shown.` : ""}` : "No two images look nearly the same.";
  place.replaceChildren(h("p", { class: "rp-quiet" }, text), ...groups);
}
