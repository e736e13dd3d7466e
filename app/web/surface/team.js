// The People card: who may log in and with which role, invitations to copy, and the latest acts. Admins see it.

import { Refused, get, post } from "./api.js";
import { button, h, setText } from "./dom.js";
import { ROOT, person } from "./login.js";

const ROLES = ["annotator", "reviewer", "admin"];
const MAY = { annotator: "labels", reviewer: "reviews and adds classes, too", admin: "everything, people included" };

// Nothing on a page without accounts: there everybody may do everything.
export function card(slot) {
  if (!person) return "";
  const team = { list: h("div", { class: "rt-list" }), said: h("p", { class: "rp-quiet", role: "status" }), link: h("div", {}), acts: h("ol", {}), sure: null };
  const trail = h("details", { class: "rt-acts" }, h("summary", {}, "Latest acts"), team.acts);
  trail.addEventListener("toggle", () => trail.open && void acts(team));
  new IntersectionObserver(() => slot.checkVisibility() && void list(team)).observe(team.list);
  return h("section", { class: "rp-card rp-wide", "data-part": "people" }, h("h2", {}, "People"), team.list, inviting(team), team.link, team.said, trail);
}

async function list(team) {
  const answer = await get("/api/v1/users").catch(() => null);
  if (!answer) return;
  const head = ["name", "role", "last seen", "log-in", ""].map((text) => h("th", { scope: "col" }, text));
  team.list.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...answer.users.map((each) => row(team, each)))));
}

function row(team, each) {
  const role = h("select", { "aria-label": `Role of ${each.name}` }, ...ROLES.map((name) => h("option", { value: name, title: MAY[name], selected: name === each.role }, name)));
  role.addEventListener("change", () => act(team, "role", { name: each.name, role: role.value }, `${each.name} is ${role.value} now`));
  const state = !each.active ? "locked" : each.invited ? "invited" : "open";
  const actions = [
    button("end sessions", () => act(team, "logout", { name: each.name }, `${each.name} is logged out everywhere`), { class: "rm-button" }),
    button("new invitation", () => invited(team, "/api/v1/users/invite", { name: each.name }), { class: "rm-button" }),
    each.active
      ? button("lock", (_, event) => lock(team, each.name, event.currentTarget), { class: "rm-button" })
      : button("unlock", () => act(team, "active", { name: each.name, active: true }, `${each.name} may log in again`), { class: "rm-button" }),
  ];
  return h("tr", { "data-active": each.active ? "yes" : "no" }, h("th", { scope: "row" }, each.name), h("td", {}, role), h("td", {}, when(each.seen_at)), h("td", {}, state), h("td", {}, ...actions));
}

// The second press within some seconds is the sure one.
function lock(team, name, pressed) {
  if (team.sure === name) {
    team.sure = null;
    void act(team, "active", { name, active: false }, `${name} is locked out; the labels stay`);
    return;
  }
  team.sure = name;
  setText(pressed, "lock: sure?");
  setTimeout(() => {
    if (team.sure === name) team.sure = null;
    setText(pressed, "lock");
  }, 4000);
}

function inviting(team) {
  const name = h("input", { type: "text", id: "rt-name", autocomplete: "off", spellcheck: "false", maxlength: "100", required: true });
  const role = h("select", { id: "rt-role" }, ...ROLES.map((each) => h("option", { value: each }, `${each}: ${MAY[each]}`)));
  const form = h("form", { class: "rp-form" },
    h("div", { class: "rt-row" }, h("label", { for: "rt-name" }, "Name", name), h("label", { for: "rt-role" }, "Role", role), h("button", { type: "submit", class: "rm-button rm-strong" }, "Invite")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await invited(team, "/api/v1/users", { name: name.value, role: role.value })) name.value = "";
  });
  return form;
}

async function invited(team, path, body) {
  const answer = await post(path, body).catch((problem) => ({ problem }));
  if (answer.problem) {
    setText(team.said, sentence(answer.problem));
    return false;
  }
  const field = h("input", { type: "text", readonly: true, "aria-label": `Invitation for ${answer.name}`, value: `${location.origin}${ROOT}${answer.invite}` });
  field.addEventListener("focus", () => field.select());
  const copy = button("copy", async () => {
    field.select();
    const done = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
    setText(team.said, done ? "copied" : "press Ctrl+C to copy the marked link");
  }, { class: "rm-button rm-strong" });
  team.link.replaceChildren(h("div", { class: "rt-link" }, field, copy));
  setText(team.said, `Give this link to ${answer.name} and to nobody else: it works once, for 7 days, and sets the password.`);
  void list(team);
  return true;
}

async function act(team, which, body, done) {
  const problem = await post(`/api/v1/users/${which}`, body).then(() => null, (refusal) => refusal);
  setText(team.said, problem ? sentence(problem) : done);
  void list(team);
}

async function acts(team) {
  const answer = await get("/api/v1/acts?limit=30").catch(() => null);
  if (!answer) return;
  const lines = answer.acts.map((each) => h("li", {}, `${when(each.at)} · ${each.actor}: ${each.act} ${each.subject}`));
  team.acts.replaceChildren(...(lines.length ? lines : [h("li", {}, "None yet.")]));
}

function sentence(problem) {
  return problem instanceof Refused ? problem.message : "The server is away; try again in a moment.";
}

function when(seconds) {
  return seconds ? new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "never";
}
