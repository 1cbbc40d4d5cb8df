import assert from "node:assert/strict";
import { test } from "node:test";

import { labelPlace, written } from "../../ui/overlay.mjs";

const cell = (left, right) => [[left, 100], [right, 100], [right, 140], [left, 140]];

test("words stand on the right of a cell, else on its left, else above it within the pane", () => {
  assert.deepEqual(labelPlace(cell(20, 40), 60, 200), { left: 46, top: 120 });
  assert.deepEqual(labelPlace(cell(120, 150), 60, 200), { left: 54, top: 120 });
  assert.deepEqual(labelPlace(cell(40, 60), 60, 110), { left: 20, top: 88 });
  assert.deepEqual(labelPlace(cell(80, 100), 90, 110), { left: 18, top: 88 });
});

test("words have a dark edge under their colour, and a ruler's stay within the pane", () => {
  const drawn = [];
  const context = {
    canvas: { clientWidth: 200 },
    save() {},
    restore() {},
    measureText: () => ({ width: 60 }),
    strokeText: (...where) => drawn.push([context.strokeStyle, ...where]),
    fillText: (...where) => drawn.push([context.fillStyle, ...where]),
  };
  context.strokeStyle = "#ffd34d"; // of the line before
  written(context, [[180, 50]], "24.0 mm", "#ffd34d");
  assert.deepEqual(drawn, [["rgba(0, 0, 0, 0.75)", "24.0 mm", 114, 50], ["#ffd34d", "24.0 mm", 114, 50]]);
});
