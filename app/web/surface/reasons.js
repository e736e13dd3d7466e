// After a reject, for a moment, the digits name its reason; the reject itself is already on its way.

import { uuid } from "./identity.js";
import { REASONS } from "./panel.js";

const MOMENT_MS = 1500;

export class Reasons {
  constructor(label) {
    this.label = label;
    this.of = null;
  }

  get open() {
    return this.of !== null;
  }

  begin(ready, body) {
    this.of = { ready, body, timer: setTimeout(() => this.end(), MOMENT_MS) };
  }

  ask() {
    if (this.open) this.label.panel.askReason();
  }

  // The reason travels as a second reject of the same image; undo takes both back.
  give(code, mode) {
    if (!this.open) return;
    const { body, ready } = this.of;
    const said = { ...body, uuid: uuid(), kind: "reject", reason: code, input_mode: mode, client_at: Date.now() / 1000 };
    this.label.outbox.push({ uuid: said.uuid, path: "/api/v1/events", body: said });
    const last = this.label.history.findLast((each) => each.ready === ready);
    if (last) last.body = said;
    this.end();
    this.label.say(`rejected: ${REASONS.find(([known]) => known === code)[1]}`);
  }

  digit(digit) {
    if (REASONS[digit - 1]) this.give(REASONS[digit - 1][0], "key");
  }

  end() {
    if (!this.open) return;
    clearTimeout(this.of.timer);
    this.of = null;
    const { label } = this;
    if (label.current) label.panel.show(label.current, label.classes, { previous: label.previous });
    else label.panel.clear();
  }
}
