// Importing labels: a file is looked through first, what would happen is shown, then the person confirms.

import { post } from "./api.js";
import { button, h, setText } from "./dom.js";

const PATIENCE_MS = 1800000;
const FORMATS = [
  ["csv", "CSV"], ["jsonl", "JSON lines"], ["labelstudio", "Label Studio JSON"], ["coco", "COCO JSON"],
  ["huggingface", "parquet (Hugging Face)"], ["events", "event log"],
];

// By its name, and a JSON file by its first character: an array is Label Studio's, an object COCO's.
async function guess(file) {
  if (/\.(jsonl|ndjson)$/i.test(file.name)) return "jsonl";
  if (/\.parquet$/i.test(file.name)) return "huggingface";
  if (/\.json$/i.test(file.name)) return (await file.slice(0, 100).text()).trimStart().startsWith("[") ? "labelstudio" : "coco";
  return null;
}

export function importing(status) {
  const file = h("input", { type: "file", id: "rd-import", accept: ".csv,.tsv,.txt,.jsonl,.ndjson,.json,.parquet" });
  const format = h("select", { id: "rd-import-format" }, ...FORMATS.map(([value, name]) => h("option", { value }, name)));
  const fresh = h("input", { type: "checkbox", id: "rd-import-classes" });
  const people = h("input", { type: "checkbox", id: "rd-import-people" });
  const said = h("p", { class: "rp-quiet", role: "status" });
  const told = h("ul", { class: "rp-quiet" });
  const confirm = button("Import", () => void send(false), { class: "rm-button rm-strong", disabled: true });
  const form = h("form", { class: "rp-form" },
    h("label", { for: "rd-import" }, "A file that names images and classes; nothing is stored before you confirm."), file,
    h("label", { for: "rd-import-format" }, "Format"), format,
    h("label", {}, fresh, " add classes that are not there yet"),
    h("label", {}, people, " keep the names of the annotators in the file"),
    h("div", {}, h("button", { type: "submit", class: "rm-button" }, "Look through"), " ", confirm));

  const forget = () => {
    confirm.disabled = true;
    told.replaceChildren();
    setText(said, "");
  };
  form.addEventListener("change", (event) => {
    forget();
    if (event.target === file && file.files.length) void guess(file.files[0]).then((name) => name && (format.value = name));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    forget();
    if (file.files.length) void send(true);
    else setText(said, "choose a file first");
  });

  async function send(dry) {
    const chosen = file.files[0];
    confirm.disabled = true;
    setText(said, dry ? "looking through the file …" : "importing …");
    const options = { format: format.value, name: chosen.name.slice(0, 100), dry_run: dry, add_classes: fresh.checked, annotators: people.checked };
    try {
      const { lines } = await post(`/api/v1/import?${new URLSearchParams(options)}`, chosen, PATIENCE_MS);
      setText(said, dry ? "This is what would happen:" : "Done.");
      told.replaceChildren(...lines.map((line) => h("li", {}, line)));
      confirm.disabled = !dry;
    } catch (problem) {
      setText(said, problem.message);
      told.replaceChildren(...(problem.lines ?? []).map((line) => h("li", {}, line)));
    }
    void status.ask();
  }
  return [form, said, told];
}
