// A flag at one key; a note for the discussion may follow on a line of its own, which never has to be filled.

import { button, h } from "./dom.js";
import { uuid } from "./identity.js";
import * as keys from "./keys.js";
import { retract } from "./walk.js";

export class Flagging {
  constructor(label) {
    this.label = label;
    this.of = null; // {ready, sent: [uuid], body}
    this.input = h("input", { type: "text", "aria-label": "Note for the discussion", maxlength: "500", autocomplete: "off" });
    this.place = label.part("flag");
    this.place.append(this.input, button("unflag", () => this.takeBack(), { class: "rm-button" }));
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("blur", () => this.label.current === this.of?.ready || this.close());
  }

  get open() {
    return this.of !== null && this.label.current === this.of.ready;
  }

  // The first press flags, the second goes to the note.
  press(body, ready) {
    if (this.open) return this.input.focus();
    this.of = { ready, body, sent: [] };
    this.#send(null);
    this.input.value = "";
    this.input.placeholder = `flagged; ${keys.capOf("flag")} adds a note`;
    this.place.hidden = false;
    return undefined;
  }

  // Another image is shown: a note that is being written stays, it belongs to the image that was flagged.
  left() {
    if (this.of && document.activeElement !== this.input) this.close();
  }

  takeBack() {
    for (const target of this.of.sent.reverse()) this.label.outbox.push(retract(this.label, target));
    this.close();
    this.label.say("flag taken back");
  }

  close() {
    this.of = null;
    this.place.hidden = true;
    if (document.activeElement === this.input) this.input.blur();
  }

  #send(note) {
    const body = { ...this.of.body, uuid: uuid(), kind: "flag", note, client_at: Date.now() / 1000 };
    this.of.sent.push(body.uuid);
    this.label.outbox.push({ uuid: body.uuid, path: "/api/v1/events", body });
    this.label.say(note ? "flagged, with your note" : "flagged for discussion");
  }

  #key(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const note = this.input.value.trim();
    if (event.key === "Enter" && note) this.#send(note);
    this.close();
  }
}
