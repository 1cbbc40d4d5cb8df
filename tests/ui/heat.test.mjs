import assert from "node:assert/strict";
import { test } from "node:test";

import { composedMap, halves, strengths } from "../../ui/heat.mjs";

test("numbers of 16 bits are read as IEEE 754 has them", () => {
  const bits = Uint8Array.from([0x00, 0x00, 0x00, 0x3c, 0x00, 0x38, 0x01, 0x00, 0xff, 0x03, 0x00, 0x04, 0x55, 0x35]);
  assert.deepEqual([...halves(bits.buffer)], [0, 1, 0.5, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 0.333251953125]);
});

test("a slice's weights go to the patches of its own cells", () => {
  const side = 2;
  const patches = 9;
  const pooling = new Float32Array(side * side * patches); // cell (row, col) gathers from patch 2 * row + col, and half from patch 8
  for (let cell = 0; cell < 4; cell += 1) {
    pooling[cell * patches + cell] = 0.5;
    pooling[cell * patches + 8] = 0.5;
  }
  assert.deepEqual([...composedMap([0.25, 0.75], 1, pooling)], [0, 0.125, 0, 0.375, 0, 0, 0, 0, 0.5]);
  assert.deepEqual([...composedMap([0.25, 0.75], 0, pooling)], [0.125, 0, 0.375, 0, 0, 0, 0, 0, 0.5]);
});

test("even weights are faint wherever their patches are", () => {
  const map = Float32Array.from([0, 0.1, 0.9]);
  assert.deepEqual([...strengths(map, [1, 0, 0])].map((value) => value.toFixed(2)), ["0.00", "0.11", "1.00"]);
  assert.ok(Math.max(...strengths(map, [0.34, 0.33, 0.33])) < 0.01);
  assert.deepEqual([...strengths(new Float32Array(3), [1, 0, 0])], [0, 0, 0]);
});
