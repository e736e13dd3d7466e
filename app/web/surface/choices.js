// Which classes stand on the digits: pure decisions, no elements.

export const DIGITS = 9;

// Rows [{digit, class_id, name, probability|null, top, lead}]; the three likeliest lead: a phone shows them wide.
// Asked blind none leads, for a wide button would be a hint.
// Up to nine classes keep their own digit in class order; more follow the model's ranking, or the fixed order when asked blind.
export function rows(item, classes) {
  const probability = new Map((item.blind ? [] : item.suggestions).map((each) => [each.class_id, each.probability]));
  const top = item.blind ? null : (item.suggestions[0]?.class_id ?? null);
  const leading = new Set([...probability.keys()].slice(0, 3));
  return shown(item, classes).map((each, i) => ({
    digit: i + 1,
    class_id: each.class_id,
    name: each.name,
    probability: probability.get(each.class_id) ?? null,
    top: each.class_id === top,
    lead: leading.has(each.class_id),
  }));
}

function shown(item, classes) {
  if (classes.length <= DIGITS || item.blind || !item.suggestions.length) return classes.slice(0, DIGITS);
  const ranked = item.suggestions.slice(0, DIGITS);
  const named = new Set(ranked.map((each) => each.class_id));
  return [...ranked, ...classes.filter((each) => !named.has(each.class_id))].slice(0, DIGITS);
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
