import assert from "node:assert/strict";
import { test } from "node:test";

import { WHITE, dragged, tableOf, windowOf, windowText } from "../../ui/window.mjs";

test("a table is black below its window, white above, and even between", () => {
  const table = tableOf({ centre: 1000, width: 510, inverted: false });
  assert.deepEqual([table[0], table[745], table[747], table[1000], table[1255], table[WHITE]], [0, 0, 1, 128, 255, 255]);
  const inverted = tableOf({ centre: 1000, width: 510, inverted: true });
  assert.deepEqual([inverted[0], inverted[747], inverted[WHITE]], [255, 254, 0]);
});

test("a table is filled in place", () => {
  const table = new Uint8ClampedArray(WHITE + 1);
  assert.equal(tableOf({ centre: 10, width: 20, inverted: false }, table), table);
});

test("the window of an image leaves its air and its few extremes outside", () => {
  const pixels = new Uint16Array(100_000);
  for (let place = 50_000; place < 100_000; place += 1) pixels[place] = 1000 + (place % 1000);
  pixels[99_999] = WHITE;
  const { centre, width } = windowOf(pixels);
  assert.ok(Math.abs(centre - 1504) < 3 && Math.abs(width - 989) < 5, `${centre} ${width}`);
});

test("an image without a value above black has the whole range", () => {
  assert.deepEqual(windowOf(new Uint16Array(10)), { centre: 32768, width: 65536, inverted: false });
});

test("a drag stays within what can be seen", () => {
  const start = { centre: 30000, width: 20000, inverted: true };
  assert.deepEqual(dragged(start, 0, 0), start);
  assert.ok(dragged(start, 1, 0).width > 20000);
  assert.ok(dragged(start, 0, 1).centre < 30000);
  assert.equal(dragged(start, -100, 0).width, 16);
  assert.equal(dragged(start, 0, 100).centre, 0);
  assert.equal(dragged(start, 0, 0).inverted, true);
});

test("a window is told by its name, or by centre and width", () => {
  const offered = [{ name: "breast", window: { centre: 100, width: 50 } }];
  assert.equal(windowText({ centre: 100, width: 50, inverted: false }, offered), "breast");
  assert.equal(windowText({ centre: 100, width: 50, inverted: true }, offered), "breast, inverted");
  assert.equal(windowText({ centre: 100.4, width: 51, inverted: false }, offered), "C 100 W 51");
});
