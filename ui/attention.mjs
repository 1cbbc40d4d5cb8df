/**
 * What the model's attention says of a cell. `cc_to_mlo` and `mlo_to_cc` are [col][row of the query][row in the other
 * view]; the numbers of a slice add up to 1.
 */

/** The weights over the rows of the other view's slice, for a cell of one view ("cc" or "mlo"). */
export function weightsOf(attention, key, { row, col }) {
  return attention[key === "cc" ? "cc_to_mlo" : "mlo_to_cc"][col][row];
}

/** The row of the greatest weight. */
export function peakOf(weights) {
  return weights.reduce((best, weight, row) => (weight > weights[best] ? row : best), 0);
}

/** Entropy of weights as a share of the greatest: 0 for one row alone, 1 for all alike. */
export function spreadOf(weights) {
  const entropy = weights.reduce((sum, weight) => (weight > 0 ? sum - weight * Math.log(weight) : sum), 0);
  return entropy / Math.log(weights.length);
}

/**
 * How strongly each row is coloured, 0 to 1: relative to the peak, and all of it faint where the attention is nearly
 * even, so that evenness does not look like a finding.
 */
export function heatOf(weights) {
  const peak = Math.max(...weights);
  const strength = 1 - spreadOf(weights) ** 4;
  return weights.map((weight) => (peak > 0 ? (weight / peak) * strength : 0));
}
