// What a person says about the image shown: each answer goes to the outbox, the next image is painted at once.

import { Refused, post } from "./api.js";
import * as choices from "./choices.js";
import { afterFrame } from "./dom.js";
import * as evidence from "./evidence.js";
import { uuid } from "./identity.js";
import { person } from "./login.js";
import { Outbox } from "./outbox.js";
import * as undoing from "./undoing.js";

const KEPT = 40; // answered images kept decoded for undo

export function outbox(label) {
  return new Outbox({
    storage: localStorage, client: label.identity.client, person, send: (path, body) => post(path, body), soon: afterFrame,
    isRefusal: (problem) => problem instanceof Refused,
    changed: () => {
      label.showSaved();
      label.review?.showSaved();
    },
    answered: (entry, reply) => heard(label, entry, reply), refused: (entry, problem) => heardBy(label, entry).refused(entry, problem),
  });
}

// Labels and reviews leave through one outbox; what comes back goes to whoever sent it.
function heardBy(label, entry) {
  const mode = label.modes?.hears(entry);
  if (mode) return mode;
  return label.review && entry.path.startsWith("/api/v1/review") ? label.review : label;
}

// An answer whose class was retired or merged while it travelled is kept; the server says where it counts.
function heard(label, entry, reply) {
  const sender = heardBy(label, entry);
  sender.landed(entry, reply);
  if (reply.note) (sender.say ? sender : label).say(reply.note, 15000);
}

export function give(label, kind, fields, mode, event = null) {
  const ready = label.current;
  if (!ready) return;
  const pressed = event?.timeStamp || performance.now();
  const body = { ...recorded(label, ready, mode), kind, ...fields };
  if (label.walk.open) {
    label.walk.change(body);
    return;
  }
  afterFrame(() => label.timings.push(performance.now() - pressed));
  label.outbox.push({ uuid: body.uuid, path: "/api/v1/events", body });
  label.stock.answered(ready.item.image_id);
  label.history.push({ ready, body });
  if (label.history.length > KEPT) label.history.shift();
  label.answeredToday += kind === "skip" ? 0 : 1;
  label.next();
  label.showSaved();
  label.guide.did(kind);
}

function recorded(label, ready, mode) {
  const { item } = ready;
  const top = choices.accepted(item);
  const map = label.stage.current() ?? (ready.peeked ? label.stage.chosen() : null);
  return {
    uuid: uuid(), annotator: label.identity.annotator, client: label.identity.client, image_id: item.image_id, lease: item.lease,
    publication: item.publication, round: item.round, queue_reason: item.reason, position: item.position, propensity: item.propensity,
    suggestion_class_id: top?.class_id ?? null, suggestion_probability: top?.probability ?? null, suggestion_visible: top !== null,
    overlay_kind: map?.kind ?? null, overlay_visible: map !== null,
    shown_ms: Math.max(0, Math.round(performance.now() - label.shown.at)), input_mode: mode, client_at: Date.now() / 1000,
    region: evidence.stored(ready.region), ...label.modes?.says(item),
  };
}

export function accept(label, mode, event) {
  if (label.walk.end()) return; // the answer stays as it was
  const top = label.current && choices.accepted(label.current.item);
  if (top) label.answer("label", { class_id: top.class_id }, mode, event);
  else if (label.current) label.say(label.current.item.blind ? "asked blind: press the digit of its class" : "no suggestion yet: press the digit of its class");
}

export function reject(label, mode, event) {
  if (!label.current) return;
  const ready = label.current;
  const body = recorded(label, ready, mode);
  label.reasons.end();
  if (label.identity.wishes.reasons) label.reasons.begin(ready, body);
  label.answer("reject", { reason: null }, mode, event);
  label.reasons.ask();
}

export function flag(label, mode) {
  if (label.current) label.flagging.press(recorded(label, label.current, mode), label.current);
}

export async function addClass(label, name) {
  const ready = label.current;
  label.say(`adding ${name} …`);
  try {
    const added = await post("/api/v1/classes", { name });
    await label.loadClasses();
    if (ready && label.current === ready) label.answer("label", { class_id: added.class_id }, "search");
    label.say(`added ${added.name}`);
  } catch (problem) {
    label.say(problem instanceof Refused ? problem.message : "server away: a new class has to wait", 5000);
  }
}

export function landed(label, entry, reply) {
  if (entry.path.endsWith("/undo")) undoing.undone(label, entry, reply);
  else label.stock.settled(entry.body.image_id);
  void label.stock.topUp();
}

export function refused(label, entry, problem) {
  label.say(`one answer was refused: ${problem.message}`, 15000);
  label.stock.settled(entry.body.image_id);
}
