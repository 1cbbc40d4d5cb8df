/** True places of synthetic breasts: where in the other view the tissue of a cell truly lies. */

import { cellAt } from "./frame.mjs";
import { otherKey } from "./state.mjs";

/**
 * Places of the other view of what lies in a cell. One pixel of a projection is all that lies behind it, so there are
 * several: points of tissue, and middles of findings.
 * @param {{points: Record<string, [number, number][]>}} truth of the breast, the same points in both views
 * @param {object} frame of the view that is asked about
 * @param {number} side of the grid
 * @param {"cc" | "mlo"} asked its key
 * @param {{row: number, col: number}} cell
 */
export function truePlaces(truth, frame, side, asked, cell) {
  const other = asked === "cc" ? "mlo" : "cc";
  return truth.points[other].filter((_, place) => {
    const found = cellAt(frame, side, truth.points[asked][place]);
    return found !== null && found.row === cell.row && found.col === cell.col;
  });
}

/**
 * What is truly in a view: findings, and what lies in the query's cell of the other view; null where nobody knows.
 * @param {object} exam
 * @param {string} key of the view
 * @param {import("./state.mjs").Query | null} query
 * @param {Map<string, {view: object}>} panes of the exam
 */
export function truthOf({ breasts, side }, key, query, panes) {
  const truth = breasts[key[0]]?.truth;
  if (!truth) return null;
  const name = (of) => of.slice(2).toLowerCase();
  const isOther = query !== null && otherKey(query.key) === key;
  const places = isOther ? truePlaces(truth, panes.get(query.key).view.frame, side, name(query.key), query.cell) : [];
  return { boxes: truth.boxes[name(key)] ?? [], places };
}
