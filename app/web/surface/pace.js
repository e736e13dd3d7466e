// Who answers how fast, by the hour, and how full and fresh the queue is.

import { get } from "./api.js";
import { duration, h, number } from "./dom.js";

export async function show(place) {
  const answer = await get("/api/v1/pace").catch(() => null);
  if (!answer) return;
  place.replaceChildren(answer.people.length ? table(answer) : h("p", { class: "rp-quiet" }, "Nobody has answered in the last twelve hours."), h("p", { class: "rp-quiet" }, queueText(answer.queue)));
}

function table({ from, people }) {
  const most = Math.max(...people.flatMap((each) => each.hours));
  const rows = people.map((each) => h("tr", {},
    h("th", { scope: "row", title: each.name }, each.name), h("td", {}, number(each.last_hour)), h("td", {}, number(each.hours.reduce((a, b) => a + b, 0))),
    h("td", {}, each.seconds === null ? "–" : `${each.seconds.toFixed(1)} s`), h("td", {}, bars(each, from, most))));
  const head = ["name", "last hour", "12 hours", "seconds each", "by the hour"].map((text) => h("th", { scope: "col" }, text));
  return h("div", { class: "pr-scroll" }, h("table", { class: "pr-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

function bars(person, from, most) {
  const told = person.hours.map((count, i) => `${clock(from + 3600 * i)}: ${number(count)}`).join(", ");
  return h("span", { class: "pr-bars", role: "img", "aria-label": told, title: told }, ...person.hours.map((count) => {
    const bar = h("span", {});
    bar.style.height = `${Math.round((100 * count) / most)}%`;
    return bar;
  }));
}

function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function queueText(queue) {
  if (queue.publication === null) return "No queue yet: images come in random order.";
  const behind = queue.behind ? `${number(queue.behind)} newer ${queue.behind === 1 ? "answer has" : "answers have"} yet to be learnt` : "it has learnt from every answer";
  return `Queue: ${number(queue.left)} images left, ${number(queue.leased)} at people's hands, made ${duration(queue.age_s)} ago; ${behind}.`;
}
