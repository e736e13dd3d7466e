// Images from this computer: chosen or dropped files, folders and archives are sent a few at a time, then read as a folder.

import { Refused, post, put } from "./api.js";
import { button, h, number, setText } from "./dom.js";

const AT_ONCE = 3;
const TRIES = 4;
const KNOWN = /\.(jpe?g|jpe|jfif|png|webp|bmp|tiff?|gif|zip|tar|tgz|tar\.gz)$/i;

// A place to drop files on, with two buttons; `started(answer)` is called once the worker was asked to read them.
export function make(started) {
  const said = h("p", { class: "rp-quiet", role: "status" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "sent", hidden: true });
  const labels = h("input", { type: "checkbox" });
  const files = picker({ multiple: true });
  const folder = picker({ webkitdirectory: true });
  const stop = button("stop", () => current?.stop(), { class: "rm-button", hidden: true });
  let current = null;
  const send = async (list) => {
    const wanted = list.filter((each) => KNOWN.test(each.name));
    if (!wanted.length) return setText(said, "None of these is an image, a zip or a tar file.");
    current = new Sending(wanted, list.length - wanted.length, (text, share) => {
      setText(said, text);
      bar.value = share;
    });
    bar.hidden = stop.hidden = false;
    const answer = await current.run({ labels_from_folders: labels.checked }).catch((problem) => setText(said, problem.message));
    bar.hidden = stop.hidden = true;
    current = null;
    if (answer) started(answer);
  };
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      void send([...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file })));
      input.value = "";
    });
  }
  const place = h("div", { class: "up-drop" },
    h("p", {}, "Drop images, folders or a zip here, or choose:"),
    h("p", { class: "rm-actions" }, button("files …", () => files.click(), { class: "rm-button" }), button("a folder …", () => folder.click(), { class: "rm-button" }), stop, files, folder),
    h("label", { class: "up-labels" }, labels, " folder names are the labels"), bar, said);
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.dataset.over = "yes";
  });
  place.addEventListener("dragleave", () => delete place.dataset.over);
  place.addEventListener("drop", async (event) => {
    event.preventDefault();
    delete place.dataset.over;
    setText(said, "looking at what was dropped …");
    void send(await dropped(event.dataTransfer));
  });
  return place;
}

function picker(options) {
  return h("input", { type: "file", hidden: true, tabindex: "-1", "aria-hidden": "true", ...options });
}

class Sending {
  constructor(wanted, left, tell) {
    Object.assign(this, { wanted, left, tell, at: 0, done: 0, failed: [], stopped: false });
  }

  stop() {
    this.stopped = true;
  }

  async run(options) {
    const { upload } = await post("/api/v1/uploads");
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.lane(upload)));
    if (this.stopped || !this.done) throw new Error(this.stopped ? `stopped: nothing of the ${number(this.done)} sent files is read` : `nothing was sent: ${this.failed[0]}`);
    const answer = await post(`/api/v1/uploads/${upload}/finish`, options);
    this.tell([`${number(this.done)} files sent, the worker reads them`, this.left ? `${number(this.left)} were no images` : "", this.failed.length ? `${number(this.failed.length)} failed, the first: ${this.failed[0]}` : ""].filter(Boolean).join("; "), 1);
    return answer;
  }

  async lane(upload) {
    while (this.at < this.wanted.length && !this.stopped) {
      const each = this.wanted[this.at++];
      await this.one(upload, each).then(() => (this.done += 1), (problem) => this.failed.push(`${each.name}: ${problem.message}`));
      this.tell(`sent ${number(this.done)} of ${number(this.wanted.length)}`, this.at / this.wanted.length);
    }
  }

  // A server that is away for a moment is asked again; a refusal is final.
  async one(upload, { name, file }) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await put(`/api/v1/uploads/${upload}?name=${encodeURIComponent(name)}`, file);
      } catch (problem) {
        if (problem instanceof Refused || tries === TRIES || this.stopped) throw problem;
        await new Promise((resolve) => setTimeout(resolve, 1000 * tries));
      }
    }
  }
}

// Every file of what was dropped, with the path inside it; folders are walked.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ name: file.name, file }));
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) found.push({ name: entry.fullPath.replace(/^\//, ""), file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    else for (const inner of await listed(entry.createReader())) await walk(inner);
  };
  for (const entry of entries) await walk(entry);
  return found;
}

// A reader gives at most a hundred entries at a time.
async function listed(reader) {
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
