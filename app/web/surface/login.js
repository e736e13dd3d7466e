// Who is logged in and what that person may do here; the banner once the login has ended. Without accounts: nobody, and all.

import { button, h, setText } from "./dom.js";
import { ROOT } from "./root.js";

export { ROOT };

export const person = JSON.parse(document.querySelector('meta[name="raum-person"]')?.content ?? "null");

export function may(scope) {
  return person === null || person.scopes.includes(scope);
}

// What every request carries: the other half of the session, and whose page this is, so that it is never taken for another's.
export function credentials() {
  if (!person) return {};
  const csrf = /(?:^|;\s*)raum_csrf=([^;]*)/.exec(document.cookie)?.[1] ?? "";
  return { "X-RAUM-Person": String(person.id), "X-RAUM-CSRF": csrf };
}

// --- the banner

let banner = null;

export function ended() {
  return banner !== null;
}

// A request was refused because nobody, or somebody else, is logged in.
export function lost(sentence) {
  if (!banner) {
    banner = h("div", { id: "raum-login", role: "alert" }, h("span", {}), ...ways(sentence));
    document.body.append(banner);
  }
  setText(banner.firstElementChild, told(sentence));
}

export function back() {
  banner?.remove();
  banner = null;
}

function told(sentence) {
  if (sentence === "log in again") return "You are logged out. Your answers are kept here: log in again, and they are sent.";
  const whose = person ? ` What ${person.name} answered here is kept and sent once ${person.name} logs in again.` : "";
  return `${sentence[0].toUpperCase()}${sentence.slice(1)}.${whose}`;
}

// In a new tab, so that this one keeps what it shows; a page from before the accounts has to be opened anew.
function ways(sentence) {
  const again = h("a", { href: `${ROOT}/login?again=1`, target: "_blank", rel: "noopener" }, person ? `log in as ${person.name}` : "log in");
  const anew = h("a", { href: `${ROOT}/` }, person ? "open the page as who is logged in" : "open the page again");
  if (!person) return [anew];
  return sentence === "log in again" ? [again] : [again, anew];
}

// --- the name and the way out, where the name's field is on a page without accounts

export function control(label) {
  const leave = async () => {
    const waiting = label.outbox.size;
    if (waiting && !leave.warned) {
      leave.warned = true;
      label.say(`${waiting} unsent here; log out once more to leave them in this browser until you are back`, 8000);
      return;
    }
    try {
      await label.logout();
    } catch (problem) {
      label.say(`not logged out: ${problem.message}`, 8000);
    }
  };
  return h("span", { class: "rm-person" }, h("b", { title: `${person.name}, ${person.role}` }, person.name), button("log out", leave, { class: "rm-logout" }));
}

// Tabs that this person may not use are not shown.
export function hideTabs() {
  const closed = [["review", may("review")], ["browse", may("review")], ["classes", may("review")], ["data", may("review") || may("manage")]].filter(([, open]) => !open);
  document.documentElement.dataset.raumClosed = closed.map(([name]) => name).join(" ");
}
