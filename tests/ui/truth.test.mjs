import assert from "node:assert/strict";
import { test } from "node:test";

import { frameOf } from "../../ui/frame.mjs";
import { truePlaces } from "../../ui/truth.mjs";

const frame = frameOf({ to_square: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], size: 90, rows: 90, cols: 90 });
const truth = { points: { cc: [[5, 5], [15, 5], [8, 9], [-1, 5]], mlo: [[1, 1], [2, 2], [3, 3], [4, 4]] } };

test("the places of the other view are those of what lies in the cell", () => {
  assert.deepEqual(truePlaces(truth, frame, 9, "cc", { row: 0, col: 0 }), [[1, 1], [3, 3]]);
  assert.deepEqual(truePlaces(truth, frame, 9, "cc", { row: 8, col: 8 }), []);
  assert.deepEqual(truePlaces(truth, frame, 9, "mlo", { row: 0, col: 0 }), truth.points.cc);
});
