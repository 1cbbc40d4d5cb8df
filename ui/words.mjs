/** What the viewer says: one sentence for a screen reader whenever the query moves, and the scale of a view. */

import { peakOf, spreadOf } from "./attention.mjs";
import { inverse } from "./frame.mjs";
import { isPinned, otherKey } from "./state.mjs";

const NAMES = { L: "left", R: "right" };

/** "left CC" of "L-CC". */
export const named = (key) => `${NAMES[key[0]]} ${key.slice(2)}`;

/**
 * The sentence of a query.
 * @param {{key: string, cell: {row: number, col: number}} | null} query
 * @param {number[] | null} weights over the rows of the other view; null: there is none
 * @param {string} other the key of the other view
 */
export function sentence(query, weights, other) {
  if (query === null) return "Nothing is pointed at.";
  const { row, col } = query.cell;
  const asked = `${named(query.key)}, row ${row + 1}, slice ${col + 1}.`;
  if (weights === null) return `${asked} There is no ${named(other)} view to look at.`;
  const peak = peakOf(weights);
  const even = spreadOf(weights) > 0.95 ? " The attention is nearly even: it points at nothing." : "";
  return `${asked} The model looks most at ${named(other)}, row ${peak + 1}: ${Math.round(100 * weights[peak])} percent.${even}`;
}

/** What is said in place of a query, of a model that has no cells to ask about. */
export const NOT_COMPARED = "This model does not compare views: it does not say where it looks.";

/**
 * All that is said aloud of a state: the query, whether it is pinned, and a ruler's length.
 * @param {object} state
 * @param {number[] | null} weights of the query
 * @param {string | undefined} ruled
 * @param {number | null} side of the grid; null: the model does not compare views
 */
export function said(state, weights, ruled, side) {
  const { query } = state;
  const asked = side === null ? NOT_COMPARED : sentence(query, weights, query ? otherKey(query.key) : "");
  return [asked, isPinned(state) && "Pinned.", ruled && `Ruler: ${ruled}.`].filter(Boolean).join(" ");
}

/**
 * The scale of a view: display pixels of a stored one, and screen pixels of a centimetre; across x down where they differ,
 * as with pixels that are not square, and in the model's square.
 * @param {import("./frame.mjs").Affine} matrix stored pixels to the pane
 * @param {[number, number] | null} spacing mm between rows, and between columns
 * @param {number} ratio display pixels of a screen pixel
 */
export function scaleText(matrix, spacing, ratio) {
  const [a, b, , d, e] = inverse(matrix); // one screen pixel to the right is [a, d] stored ones, one down [b, e]
  const percent = both([[a, d], [b, e]].map((step) => (100 * ratio) / Math.hypot(...step)));
  if (!spacing) return `${percent} %, no spacing`;
  const [ofRows, ofCols] = spacing;
  return `${percent} %, ${both([[a, d], [b, e]].map(([x, y]) => 10 / Math.hypot(x * ofCols, y * ofRows)))} px/cm`;
}

/** Two numbers, or one where they are the same to a hundredth. */
function both(numbers) {
  const [across, down] = numbers.map((number) => (number < 1 ? "<1" : String(Math.round(number))));
  return Math.abs(numbers[0] / numbers[1] - 1) < 0.01 ? across : `${across} x ${down}`;
}
