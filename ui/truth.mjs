/** True places of synthetic breasts: where in the other view the tissue of a cell truly lies. */

import { cellAt } from "./frame.mjs";

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
