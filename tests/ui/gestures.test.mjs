import assert from "node:assert/strict";
import { test } from "node:test";

import { pinch } from "../../ui/gestures.mjs";

test("fingers that go apart zoom in about the middle between them", () => {
  assert.deepEqual(pinch([[10, 50], [30, 50]], [[0, 50], [40, 50]]), [2, [20, 50], [0, 0]]);
});

test("fingers that go together move the view", () => {
  assert.deepEqual(pinch([[10, 50], [30, 50]], [[15, 60], [35, 60]]), [1, [20, 50], [5, 10]]);
});

test("fingers at one place zoom by no endless factor", () => {
  assert.ok(Number.isFinite(pinch([[10, 50], [10, 50]], [[0, 50], [40, 50]])[0]));
});
