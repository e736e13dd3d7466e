// Which classes stand on the digits: pure decisions, no elements.

export const DIGITS = 9;

// Rows [{digit, class_id, name, probability|null, top, lead, key}], null where a digit is free; the three likeliest lead: a phone
// shows them wide. Asked blind none leads, for a wide button would be a hint.
// A pinned class has its own digit, always. On the others up to nine classes keep their place in class order; more follow the
// model's ranking, or the fixed order when asked blind. `key` is a letter that the class is pinned to.
export function rows(item, classes) {
  const suggestions = item.blind ? [] : standing(item.suggestions, classes);
  const probability = new Map(suggestions.map((each) => [each.class_id, each.probability]));
  const top = suggestions[0]?.class_id ?? null;
  const leading = new Set([...probability.keys()].slice(0, 3));
  return placed(suggestions, classes).map((each, i) => each && {
    digit: i + 1,
    class_id: each.class_id,
    name: each.name,
    probability: probability.get(each.class_id) ?? null,
    top: each.class_id === top,
    lead: leading.has(each.class_id),
    key: isDigit(each.shortcut) ? "" : (each.shortcut ?? ""),
  });
}

function placed(suggestions, classes) {
  const { pinned } = table(classes);
  const floating = ranked(suggestions, classes);
  const found = [];
  for (let digit = 1; digit <= DIGITS; digit += 1) found.push(pinned.get(digit) ?? floating.shift() ?? null);
  while (found.length && !found.at(-1)) found.pop();
  return found;
}

// The first classes without a digit of their own.
function ranked(suggestions, classes) {
  const { known } = table(classes);
  const order = new Set(classes.length <= DIGITS ? [] : suggestions.map((each) => known.get(each.class_id)));
  const found = [...order].filter((each) => !isDigit(each.shortcut));
  for (const each of classes) {
    if (found.length >= DIGITS) break;
    if (!order.has(each) && !isDigit(each.shortcut)) found.push(each);
  }
  return found;
}

const isDigit = (key) => /^[1-9]$/.test(key ?? "");

const tables = new WeakMap();

// A list of classes by id and by digit, made once: it is never changed in place.
function table(classes) {
  if (!tables.has(classes)) {
    const known = new Map(classes.map((each) => [each.class_id, each]));
    tables.set(classes, { known, pinned: new Map(classes.filter((each) => isDigit(each.shortcut)).map((each) => [Number(each.shortcut), each])) });
  }
  return tables.get(classes);
}

// Suggestions of an image that was fetched before the classes changed: as they are called now, without those that are gone.
export function standing(suggestions, classes) {
  if (!classes.length) return suggestions;
  const { known } = table(classes);
  return suggestions.filter((each) => known.has(each.class_id)).map((each) => ({ ...each, name: known.get(each.class_id).name }));
}

// The class that Enter accepts: never on an image asked blind.
export function accepted(item) {
  return item.blind ? null : (item.suggestions[0] ?? null);
}

// Classes for what was typed: the likelier first, then names that begin so, then the classes' order.
export function matches(query, classes, suggestions, limit = 8) {
  const wanted = query.trim().toLowerCase();
  const probability = new Map(suggestions.map((each) => [each.class_id, each.probability]));
  return classes
    .map((each, order) => ({ ...each, order, tier: tier(each.name.toLowerCase(), wanted), p: probability.get(each.class_id) ?? 0 }))
    .filter((each) => each.tier < 3)
    .sort((a, b) => b.p - a.p || a.tier - b.tier || a.order - b.order)
    .slice(0, limit);
}

function tier(name, wanted) {
  if (name.startsWith(wanted)) return 0;
  if (name.split(/[\s_\-()]+/).some((word) => word.startsWith(wanted))) return 1;
  return name.includes(wanted) ? 2 : 3;
}

export function known(name, classes) {
  const wanted = name.trim().toLowerCase();
  return classes.some((each) => each.name.toLowerCase() === wanted);
}
