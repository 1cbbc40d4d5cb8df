/** Keys of the viewer, in one table: what acts on them and the help that `?` shows both read it. */

export const KEYS = [
  { keys: ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"], shown: "arrows", action: "step", does: "move the query by a cell" },
  { keys: ["f"], action: "follow", does: "go to where the model looks" },
  { keys: ["Enter"], action: "pin", does: "pin the query, or take its pin out" },
  { keys: ["Escape"], action: "clear", does: "clear query, pins and ruler; close what is open" },
  { keys: ["1"], action: "exam", does: "all views" },
  { keys: ["2"], action: "right", does: "right breast" },
  { keys: ["3"], action: "left", does: "left breast" },
  { keys: ["a"], action: "align", does: "slices upright, as the model sees the pair" },
  { keys: ["s"], action: "attention", does: "show or hide the attention" },
  { keys: ["t"], action: "truth", does: "show or hide the true place (synthetic breasts)" },
  { keys: ["i"], action: "invert", does: "invert the grey values" },
  { keys: ["w"], action: "preset", does: "next window" },
  { keys: ["0"], action: "fit", does: "fit the views" },
  { keys: ["9"], action: "real", does: "one stored pixel on one of the screen" },
  { keys: ["+", "="], shown: "+", action: "closer", does: "zoom in" },
  { keys: ["-"], action: "farther", does: "zoom out" },
  { keys: ["l"], action: "loupe", does: "loupe under the cursor" },
  { keys: ["m"], action: "ruler", does: "ruler: press and drag" },
  { keys: ["p"], action: "picture", does: "save what is seen as a picture (PNG)" },
  { keys: ["r"], action: "report", does: "save what is seen as a page (PDF)" },
  { keys: ["j"], action: "json", does: "save the answer (JSON)" },
  { keys: ["n"], action: "npz", does: "save embeddings and attention (npz)" },
  { keys: ["d"], action: "theme", does: "dark or light page" },
  { keys: ["h"], action: "tour", does: "the tour again" },
  { keys: ["?"], action: "help", does: "these keys" },
];

/** What a key does; null for one that does nothing here, or is of the browser. */
export function actionOf({ key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey) return null;
  return KEYS.find(({ keys }) => keys.includes(key))?.action ?? null;
}

/** Whether an action is done again and again while its key is held. */
export const isRepeatable = (action) => ["step", "closer", "farther"].includes(action);

/** Rows and columns of the grid that an arrow moves the query by; mirrored views walk as they are seen. */
export function stepOf(key, isMirrored) {
  const across = isMirrored ? -1 : 1;
  return { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -across], ArrowRight: [0, across] }[key];
}
