/** What the viewer says aloud: one sentence for a screen reader whenever the query moves. */

import { peakOf, spreadOf } from "./attention.mjs";

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
