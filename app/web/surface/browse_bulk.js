// What is done to the selected images at once: label, reject, flag, take back; each action is undone as a whole.

import { Refused, post } from "./api.js";
import { button, h, number, setText } from "./dom.js";
import { uuid } from "./identity.js";
import { hint, tell } from "./key_hints.js";
import * as keys from "./keys.js";
import { Search } from "./search.js";

const KEPT = "raum.browse.done"; // actions of this tab, in its own storage: a reload can still undo them
const MOST_KEPT = 100;
const PATIENCE_MS = 30000;
const TRIES = 3;
const BUTTONS = [["label", "label"], ["reject", "reject"], ["flag", "flag"], ["retract", "take back"], ["undo", "undo"], ["like", "like this"], ["open", "open"], ["help", "keys"]];
const DONE = { reject: "rejected", flag: "flagged", retract: "taken back" };

export class Bulk {
  constructor(browse) {
    this.browse = browse;
    this.done = recall();
    this.busy = Promise.resolve();
    this.count = h("span", { class: "bw-count" });
    this.said = h("div", { class: "rm-said", role: "status", "aria-live": "polite" });
    this.saved = h("span", { class: "rm-saved", role: "status" });
    const keys = h("div", { class: "rm-keys", role: "toolbar", "aria-label": "For the selected images" }, ...BUTTONS.map((each) => this.#button(each)));
    this.root = h("div", { class: "rm-status bw-status" }, this.count, h("div", { class: "bw-label", "data-part": "search" }), keys, this.said, h("div", { class: "rm-count" }, this.saved));
    this.search = new Search(this.root, {
      id: "bw-found", pick: (id) => this.run("label", { class_id: id }), add: (name) => this.say(`there is no class ${name}: add it first`),
      source: () => ({ classes: browse.label.classes, suggestions: this.#suggested() }),
    });
    tell(this.search.input, "label", "label as …");
    this.search.input.setAttribute("aria-label", "Label the selected images as");
  }

  #button([action, text]) {
    const element = button(hint(action), () => this.browse.act(action), { class: "rm-key", "data-action": action });
    element.append(text);
    return element;
  }

  // The model's class of the image the keys stand on comes first.
  #suggested() {
    const top = this.browse.item()?.suggestion;
    return top ? [top] : [];
  }

  act(action) {
    if (action === "label") this.search.open();
    else if (action === "undo") this.undo();
    else void this.run(action);
  }

  show() {
    const { chosen } = this.browse;
    setText(this.count, chosen.size ? `${number(chosen.size)} selected` : "");
    this.root.dataset.chosen = chosen.size ? "yes" : "";
    this.saved.dataset.state = this.saving ? "saving" : "saved";
    setText(this.saved, this.saving ? "saving …" : "saved");
  }

  say(text, lasting = 6000) {
    clearTimeout(this.saying);
    setText(this.said, text);
    this.saying = setTimeout(() => setText(this.said, ""), lasting);
  }

  run(action, fields = {}) {
    const { browse } = this;
    const ids = browse.ids();
    if (!ids.length) return this.say(`select images first: click, drag, or ${keys.capOf("select")}`);
    const shown = browse.windows.told?.publication !== null && browse.windows.told?.publication !== undefined;
    const body = { uuid: uuid(), annotator: browse.identity.annotator, action, image_ids: ids, shown, client_at: Date.now() / 1000, ...fields };
    const what = action === "label" ? `labelled ${browse.label.classes.find((each) => each.class_id === fields.class_id)?.name ?? ""}` : DONE[action];
    browse.list.focus({ preventScroll: true });
    return this.#send("/api/v1/browse/act", body, (told) => {
      if (told.changed) this.done.push({ uuid: body.uuid, what, changed: told.changed });
      this.#keep();
      browse.chosen.clear();
      const left = told.left ? `; ${number(told.left)} left alone (${action === "retract" ? "nothing of yours to take back" : "kept for blind answers, which measure the model"})` : "";
      const note = told.note ? `; ${told.note}` : "";
      this.say(`${images(told.changed)} ${what}${left}${note}${told.changed ? ` · ${keys.capOf("undo")} undoes it` : ""}`, 10000);
    });
  }

  undo() {
    const last = this.done.pop();
    if (!last) return this.say("nothing left to undo here; the Label and Review tabs undo their own answers");
    const body = { uuid: uuid(), annotator: this.browse.identity.annotator, target: last.uuid };
    return this.#send("/api/v1/browse/undo", body, (told) => {
      this.#keep();
      this.say(told.undone ? `undone: ${images(told.images)} ${last.what}` : "that was undone already");
    }, () => this.done.push(last));
  }

  // One after the other; the same uuid goes again where the server was away, so that nothing is said twice.
  #send(path, body, landed, failed = () => {}) {
    this.busy = this.busy.then(async () => {
      this.saving = true;
      this.show();
      for (let tried = 1; ; tried += 1) {
        try {
          const told = await post(path, body, PATIENCE_MS);
          if (told.ready === false) continue;
          landed(told);
          break;
        } catch (problem) {
          if (!(problem instanceof Refused) && tried < TRIES) continue;
          if (!(problem instanceof Refused)) failed();
          this.say(problem instanceof Refused ? `refused: ${problem.message}` : "the server is away: nothing was changed here, try again", 15000);
          break;
        }
      }
      this.saving = false;
      this.show();
      await this.browse.ask(true);
      void this.browse.choices();
      if (this.browse.large.open && this.browse.item()) void this.browse.large.show(this.browse.item());
      void this.browse.status.ask();
    });
    return this.busy;
  }

  #keep() {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.done.slice(-MOST_KEPT)));
    } catch {
      // a browser that forbids storage undoes until it is reloaded
    }
  }
}

const images = (count) => `${number(count)} ${count === 1 ? "image" : "images"}`;

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  } catch {
    return [];
  }
}
