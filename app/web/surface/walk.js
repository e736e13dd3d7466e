// Going back and on through one's own last answers, each shown as it was answered; a digit then changes it.

import { get } from "./api.js";
import { button, h, number, setText } from "./dom.js";
import { uuid } from "./identity.js";
import { prepare } from "./stock.js";
import { described } from "./undoing.js";

const FETCHED = 20;

export class Walk {
  constructor(label) {
    this.label = label;
    this.entry = null; // the answer shown, one of label.history
    this.aside = null; // the image that waits meanwhile
    this.asking = false;
    this.today = label.part("today");
    this.bar = label.part("walk");
    const out = button(h("kbd", {}, "Esc"), () => this.end(), { class: "rm-key", "aria-label": "back to labelling" });
    out.append("back to labelling");
    this.bar.append(out);
    this.today.addEventListener("pointerdown", (event) => event.preventDefault());
    this.today.addEventListener("click", () => this.begin());
  }

  // The count of today's answers is the way to them for a finger or a screen reader.
  count(answers) {
    setText(this.today, `${number(answers)} today`);
    this.today.setAttribute("aria-label", `${number(answers)} today: look back at your own answers`);
  }

  begin() {
    this.label.modes.show("single");
    return this.earlier();
  }

  get open() {
    return this.entry !== null;
  }

  async earlier() {
    const { label } = this;
    const { history } = label;
    const at = this.open ? history.indexOf(this.entry) : history.length;
    const before = history.slice(0, at).findLast((each) => each.ready); // a page of the grid is undone whole
    if (before) return this.#show(before);
    if (this.asking) return undefined;
    this.asking = true;
    const found = await this.#fetch(history[0]?.body.uuid).catch(() => null);
    this.asking = false;
    if (!found?.length) return label.say(found ? "no earlier answer of yours" : "the server is away: earlier answers come from there");
    history.unshift(...found);
    return this.earlier();
  }

  later() {
    if (!this.open) return;
    const { history } = this.label;
    const next = history.slice(history.indexOf(this.entry) + 1).find((each) => each.ready);
    if (next) this.#show(next);
    else this.end();
  }

  // Back to the image that waits; says whether one was walking.
  end() {
    if (!this.open) return false;
    const aside = this.leave();
    if (aside) this.label.show(aside);
    else this.label.next();
    return true;
  }

  // Ends walking where it is; returns the image that waits.
  leave() {
    const { aside } = this;
    this.entry = this.aside = null;
    delete this.label.root.dataset.walking;
    if (this.bar.contains(document.activeElement)) this.today.focus({ preventScroll: true });
    this.bar.hidden = true;
    return aside;
  }

  // The old answer is taken back, the new one follows; both go through the outbox in this order.
  change(body) {
    const { label, entry } = this;
    label.outbox.push(retract(label, entry.body.uuid));
    label.outbox.push({ uuid: body.uuid, path: "/api/v1/events", body });
    label.stock.answered(body.image_id);
    entry.body = body;
    label.history.splice(label.history.indexOf(entry), 1);
    label.history.push(entry);
    this.end();
    label.say(`changed to ${described(body, label.classes)}`);
  }

  async #fetch(before) {
    const { label } = this;
    const who = new URLSearchParams({ annotator: label.identity.annotator, count: FETCHED, ...(before ? { before } : {}) });
    const { answers } = await get(`/api/v1/answers?${who}`);
    return answers.reverse().map(({ previous, ...item }) => {
      const ready = prepare(item, () => this.entry?.ready === ready && this.#show(this.entry));
      ready.region = previous.region;
      return { ready, body: { ...previous, image_id: item.image_id } };
    });
  }

  #show(entry) {
    const { label } = this;
    label.reasons.end();
    if (!this.open) this.aside = label.current;
    this.entry = entry;
    label.root.dataset.walking = "yes";
    this.bar.hidden = false;
    label.show(entry.ready, entry.body);
    const back = label.history.length - label.history.indexOf(entry);
    label.say(`your answer: ${described(entry.body, label.classes)}`);
    setText(label.panel.note, `${back} back; another answer changes it`);
  }
}

// Takes back one answer or flag; with `only` nothing else where that one does not stand any more.
export function retract(label, target, only = true) {
  const id = uuid();
  return { uuid: id, path: "/api/v1/undo", body: { uuid: id, annotator: label.identity.annotator, client: label.identity.client, target, only } };
}

