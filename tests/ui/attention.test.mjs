import assert from "node:assert/strict";
import { test } from "node:test";

import { heatOf, peakOf, spreadOf, weightsOf } from "../../ui/attention.mjs";

const oneHot = (length, place) => Array.from({ length }, (_, row) => (row === place ? 1 : 0));

test("the weights of a cell are those of its column and its row, in its own direction", () => {
  const tensor = (mark) => Array.from({ length: 9 }, (_, col) => Array.from({ length: 9 }, (_, row) => oneHot(9, (col + row + mark) % 9)));
  const attention = { cc_to_mlo: tensor(0), mlo_to_cc: tensor(4) };
  assert.equal(peakOf(weightsOf(attention, "cc", { row: 2, col: 3 })), 5);
  assert.equal(peakOf(weightsOf(attention, "mlo", { row: 2, col: 3 })), 0);
});

test("the spread is 0 for one row and 1 for all alike", () => {
  assert.equal(spreadOf(oneHot(9, 4)), 0);
  assert.ok(Math.abs(spreadOf(Array(9).fill(1 / 9)) - 1) < 1e-12);
});

test("even attention is not coloured, and a peak is", () => {
  assert.ok(Math.max(...heatOf(Array(9).fill(1 / 9))) < 1e-9);
  assert.deepEqual(heatOf(oneHot(9, 4)), oneHot(9, 4));
  const leaning = heatOf([0.12, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11]);
  assert.ok(Math.max(...leaning) < 0.05, `${leaning}`);
});
