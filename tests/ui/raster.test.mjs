import assert from "node:assert/strict";
import { test } from "node:test";

import { greys, levelFor } from "../../ui/raster.mjs";

test("the coarsest level that has a pixel for each of the screen", () => {
  const levels = [1, 2, 3, 4];
  assert.deepEqual([4, 1, 0.6, 0.5, 0.26, 0.25, 0.01].map((scale) => levelFor(levels, scale)), [0, 0, 0, 1, 1, 2, 3]);
});

test("grey values of a part of an image", () => {
  const table = Uint8ClampedArray.from([10, 20, 30, 40, 50, 60]);
  const level = { pixels: Uint16Array.from([0, 1, 2, 3, 4, 5]), cols: 3 };
  const rgba = greys(level, { left: 1, top: 0, right: 3, bottom: 2 }, table);
  assert.deepEqual([...rgba], [0xff141414, 0xff1e1e1e, 0xff323232, 0xff3c3c3c]);
});
