/** What is drawn over a view, by the exam and the state of the page. */

import { weightsOf } from "./attention.mjs";
import { otherKey } from "./state.mjs";
import { truthOf } from "./truth.mjs";

/** The weights of a query over the rows of the other view; null when there is no query, or no other view. */
export function weightsFor({ breasts }, query) {
  const attention = query && breasts[query.key[0]]?.attention;
  return attention ? weightsOf(attention, query.key.slice(2).toLowerCase(), query.cell) : null;
}

/**
 * The scene that `overlay.mjs` draws over a view.
 * @param {object} exam
 * @param {object} state
 * @param {string} key of the view
 * @param {Map<string, import("./pane.mjs").Pane>} panes
 * @param {Record<string, Float32Array>} pooling of each view
 */
export function sceneOf(exam, { query, pins, opacity, threshold, attentionShown, truthShown }, key, panes, pooling) {
  const weights = weightsFor(exam, query);
  const isAnswer = attentionShown && weights !== null && otherKey(query.key) === key;
  return {
    side: exam.side,
    query: query?.key === key ? query.cell : null,
    answer: isAnswer ? { col: query.cell.col, weights, pooling: pooling[key] } : null,
    pins: pins.filter((pin) => pin.key === key).map((pin) => pin.cell),
    truth: truthShown ? truthOf(exam, key, query, panes) : null,
    opacity,
    threshold,
  };
}
