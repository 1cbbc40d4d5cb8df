import assert from "node:assert/strict";
import { test } from "node:test";

import { liesLeft } from "../../ui/preview.mjs";

test("the chest wall is where tissue lies against the edge", () => {
  const image = { rows: 10, cols: 40, pixels: new Uint16Array(400) };
  for (let row = 2; row < 8; row += 1) image.pixels.fill(30000, row * 40, row * 40 + 20);
  assert.ok(liesLeft(image));
  assert.ok(!liesLeft({ ...image, pixels: image.pixels.slice().reverse() }));
});
