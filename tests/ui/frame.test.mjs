import assert from "node:assert/strict";
import { test } from "node:test";

import { cellAt, cellMiddle, cellPolygon, composed, distanceMm, frameOf, inverse, moved, slicePolygon } from "../../ui/frame.mjs";

const SIDE = 9;
const turn = (degrees) => {
  const angle = (degrees * Math.PI) / 180;
  return [Math.cos(angle), Math.sin(angle), 0, -Math.sin(angle), Math.cos(angle), 0];
};
const frames = [];
for (const flip of [1, -1]) {
  for (const degrees of [0, 18, -25]) {
    const [a, b, c, d, e, f] = composed(composed([flip, 0, flip < 0 ? 2000 : 0, 0, 1, 0], turn(degrees)), [0.2, 0, -40, 0, 0.15, 30]);
    frames.push(frameOf({ to_square: [[a, b, c], [d, e, f], [0, 0, 1]], size: 518, rows: 3000, cols: 2000 }));
  }
}

const near = (found, wanted) => found.forEach((number, place) => assert.ok(Math.abs(number - wanted[place]) < 1e-6, `${found} is not ${wanted}`));

test("a matrix and its inverse undo each other", () => {
  for (const { toSquare, toPixels } of frames) {
    near(moved(toPixels, moved(toSquare, [123.5, 2345.25])), [123.5, 2345.25]);
    near(composed(toSquare, toPixels), [1, 0, 0, 0, 1, 0]);
  }
});

test("a matrix that flattens has no inverse", () => {
  assert.throws(() => inverse([1, 2, 0, 2, 4, 0]), RangeError);
  assert.throws(() => inverse([NaN, 0, 0, 0, 1, 0]), RangeError);
});

test("the middle of each cell lies in that cell, however the view is flipped and turned", () => {
  for (const frame of frames) {
    for (const cell of [{ row: 0, col: 0 }, { row: 8, col: 0 }, { row: 0, col: 8 }, { row: 8, col: 8 }, { row: 3, col: 5 }]) {
      assert.deepEqual(cellAt(frame, SIDE, cellMiddle(frame, SIDE, cell)), cell);
    }
  }
});

test("what the model does not see is in no cell", () => {
  const [frame] = frames;
  for (const corner of [[-0.1, 200], [518, 200], [200, -0.1], [200, 518]]) assert.equal(cellAt(frame, SIDE, moved(frame.toPixels, corner)), null);
  assert.deepEqual(cellAt(frame, SIDE, moved(frame.toPixels, [517.9, 0.1])), { row: 0, col: 8 });
});

test("without a grid there are no cells", () => {
  const frame = frameOf({ to_square: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], size: 90, rows: 90, cols: 90 });
  assert.deepEqual(cellAt(frame, 9, [45, 45]), { row: 4, col: 4 });
  assert.equal(cellAt(frame, null, [45, 45]), null);
});

test("a cell's corners are those of the square, drawn to the edge of the image", () => {
  const frame = frameOf({ to_square: [[0.5, 0, -50], [0, 0.5, 0], [0, 0, 1]], size: 450, rows: 1000, cols: 800 });
  assert.deepEqual(cellPolygon(frame, SIDE, { row: 1, col: 2 }), [[300, 100], [400, 100], [400, 200], [300, 200]]);
  assert.deepEqual(cellPolygon(frame, SIDE, { row: 0, col: 7 }), [[800, 0], [800, 0], [800, 100], [800, 100]]);
  assert.deepEqual(slicePolygon(frame, SIDE, 2), [[300, 0], [400, 0], [400, 900], [300, 900]]);
});

test("cells of a rectangle are counted along its own axes", () => {
  const frame = frameOf({ to_square: [[0.5, 0, -50], [0, 0.5, 0], [0, 0, 1]], size: [900, 450], rows: 2000, cols: 1000 });
  assert.deepEqual([frame.height, frame.width], [900, 450]);
  assert.deepEqual(cellPolygon(frame, SIDE, { row: 1, col: 2 }), [[300, 200], [400, 200], [400, 400], [300, 400]]);
  assert.deepEqual(slicePolygon(frame, SIDE, 2), [[300, 0], [400, 0], [400, 1800], [300, 1800]]);
  for (const cell of [{ row: 8, col: 0 }, { row: 3, col: 8 }]) assert.deepEqual(cellAt(frame, SIDE, cellMiddle(frame, SIDE, cell)), cell);
  assert.equal(cellAt(frame, SIDE, moved(frame.toPixels, [451, 100])), null);
  assert.deepEqual(cellAt(frame, SIDE, moved(frame.toPixels, [100, 851])), { row: 8, col: 2 });
});

test("distances are in millimetres, by the distance of rows and of columns", () => {
  assert.equal(distanceMm([0.1, 0.2], [0, 0], [30, 40]), Math.hypot(6, 4));
  assert.equal(distanceMm(null, [0, 0], [30, 40]), null);
});
