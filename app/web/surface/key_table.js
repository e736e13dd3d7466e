// Every action that has a key: on which tab, under which keys, in which words the sheet of keys tells it.

// [action, its keys (the first is shown), what it does, the sheet's column]; the Review tab shares the Label tab's.
const LABEL = [
  ...Array.from({ length: 9 }, (_, i) => [`digit${i + 1}`, [String(i + 1)], "the class on that digit", "digits"]),
  ["search", ["/"], "type any class; Enter picks it, or adds a new one", "answer"],
  ["accept", ["Enter"], "accept the model's first class (never on an image asked blind)", "answer"],
  ["reject", ["x"], "reject; then 1 bad image, 2 none of the classes, 3 other", "answer"],
  ["skip", ["s"], "skip: others are asked first", "answer"],
  ["pass", ["p"], "pass: ask a person by name, with a note if you like", "answer"],
  ["flag", ["f"], "flag for discussion; once more to write a note", "answer"],
  ["undo", ["z"], "undo, as far back as you like", "answer"],
  ["grid", ["g"], "grid: a page that the model holds for one class, and back; arrows, space (take out), s (not this class), Enter", "answer"],
  ["yesno", ["y"], "yes-or-no mode; there it is yes, and Esc ends it", "answer"],
  ["no", ["n"], "no, in yes-or-no mode", "answer"],
  ["earlier", ["[", "ArrowLeft"], "back to your own last answers, to look or to change", "answer"],
  ["later", ["]", "ArrowRight"], "on again; Enter or Esc returns to the image that waits", "answer"],
  ["cycle", ["o"], "next kind of map, then off", "image"],
  ["hide", ["h"], "hide or show the map; held, where maps are only peeked at", "image"],
  ["lower", [","], "the map's contour further out", "image"],
  ["higher", ["."], "the map's contour further in, at last none", "image"],
  ["evidence", ["e"], "then click or drag: the evidence is here", "image"],
  ["more", ["m"], "more evidence: a page of boxes found by those you marked; arrows, space (take out), Enter", "image"],
  ["compare", ["c"], "a labelled image beside this one, then the next; Esc back", "image"],
  ["scene", ["v"], "the whole scene that the image was cut from; Esc back", "image"],
  ["card", ["i"], "the class card: what it looks like", "image"],
  ["bigger", ["+", "="], "zoom in; the wheel, two fingers and a double click do, too", "image"],
  ["smaller", ["-"], "zoom out", "image"],
  ["fit", ["0"], "the whole image; Shift and an arrow move it", "image"],
  ["receipts", ["r"], "what your answers changed", "image"],
  ["help", ["?"], "this sheet", "image"],
  ["list", ["l"], "Review: the next list", "image"],
];

// Where no keys stand, those of the Label tab are meant: one wish of a person holds on every tab.
const BROWSE = [
  ["select", [" "], "select this image, or not", "move"],
  ["all", ["a"], "select all, 1,000 at most", "move"],
  ["open", ["Enter"], "this image large, with who said what", "move"],
  ["like", ["n"], "the images most like this one", "move"],
  ["map", ["m"], "the map; draw around points, or arrows and Enter", "move"],
  ["search", null, "text in the file name", "move"],
  ["label", ["l"], "label what is selected; type a class", "act"],
  ["reject", null, "reject what is selected", "act"],
  ["flag", null, "flag it for discussion", "act"],
  ["retract", ["t"], "take back what you said about it", "act"],
  ["undo", null, "undo the last action as a whole", "act"],
  ["help", null, "this sheet", "act"],
];
const CLASSES = [
  ["rename", ["F2", "Enter"], "give the class another name", "act"],
  ["merge", ["m"], "merge it into another; told first", "act"],
  ["retire", ["Delete"], "retire it; told first", "act"],
  ["new", ["n"], "a new class, or a pasted list", "act"],
  ["search", null, "find a class", "act"],
  ["undo", null, "undo your last change", "act"],
  ["help", null, "this sheet", "act"],
];

export const TABS = { label: LABEL, browse: BROWSE, classes: CLASSES };
export const TAB_NAMES = { label: "", browse: " on the Browse tab", classes: " on the Classes tab" };
export const DEFAULTS = Object.fromEntries(Object.values(TABS).flat().filter(([, keys]) => keys).map(([action, keys]) => [action, keys]));

// What no action can be put on there: these move through the images or the classes.
const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"]);
export const MOVING = { label: new Set(), browse: MOVES, classes: MOVES };
