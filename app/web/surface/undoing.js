// Undo without limit: the last answer is taken back and its image shown as it was answered; older ones the server knows.

import { prepare } from "./stock.js";
import { retract } from "./walk.js";

export function undo(label) {
  label.reasons.end();
  if (label.flagging.open) {
    label.flagging.takeBack();
    return;
  }
  if (!label.walk.open && label.history.at(-1)?.back) {
    label.history.pop().back(); // a page of the grid
    return;
  }
  const last = label.walk.entry ?? label.history.at(-1);
  const present = label.walk.open ? label.walk.leave() : label.current;
  if (last) {
    label.history = label.history.filter((each) => each !== last);
    label.stock.putBack(present);
    label.stock.show(last.ready);
    label.show(last.ready, last.body);
    label.answeredToday = Math.max(0, label.answeredToday - (last.body.kind === "skip" ? 0 : 1));
  } else label.say("asking the server for your answer before …");
  label.outbox.push(retract(label, last?.body.uuid ?? null, false));
  label.showEmpty();
}

export function undone(label, entry, reply) {
  if (!reply.undone || !reply.item) {
    if (!entry.body.target) label.say("nothing left to undo");
    return;
  }
  if (label.current?.item.image_id === reply.item.image_id) {
    label.current.item = { ...label.current.item, lease: reply.item.lease };
    return;
  }
  if (entry.body.target) return;
  const ready = prepare(reply.item, () => {
    ready.region ??= reply.item.previous.region;
    if (!ready.done || ready.placed) return;
    ready.placed = true;
    label.stock.putBack(label.current);
    label.stock.show(ready);
    label.show(ready, reply.item.previous);
  });
}

// An answer in a word or two.
export function described(body, classes) {
  if (body.kind === "label") return classes.find((each) => each.class_id === body.class_id)?.name ?? "a label";
  if (body.asked) return `passed to ${body.asked}`;
  return body.kind === "reject" ? "rejected" : body.kind;
}
