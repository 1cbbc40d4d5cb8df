import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { pyramid, undone, unpacked } from "../../ui/decode.mjs";

const streamOf = (bytes) => new Blob([bytes]).stream();

test("differences are undone along rows, and from row to row in the first column", () => {
  const zigzag = [0, 2, 1, 4, 0, 0]; // differences 0, +1, -1 | +2, 0, 0
  const planes = Uint8Array.from([...zigzag.map(() => 0), ...zigzag]);
  assert.deepEqual([...undone(planes, 2, 3)], [0, 1, 0, 2, 2, 2]);
});

test("differences wrap around 16 bits", () => {
  const planes = Uint8Array.from([0, 0, 1, 2]); // -1 from 0, then +1
  assert.deepEqual([...undone(planes, 1, 2)], [65535, 0]);
});

test("an image that is cut short is an error, not another image", async () => {
  const packed = gzipSync(new Uint8Array(2 * 6));
  assert.equal((await unpacked(streamOf(packed), 2, 3)).length, 6);
  await assert.rejects(unpacked(streamOf(packed), 2, 4), RangeError);
  await assert.rejects(unpacked(streamOf(packed.subarray(0, packed.length - 9)), 2, 3));
});

test("each level of a pyramid has the means of four pixels", () => {
  const levels = pyramid({ pixels: Uint16Array.from([0, 4, 8, 8, 4, 4, 8, 65535]), rows: 2, cols: 4 }, 1);
  assert.deepEqual(levels.map(({ rows, cols }) => [rows, cols]), [[2, 4], [1, 2]]);
  assert.deepEqual([...levels[1].pixels], [3, 16390]);
});
