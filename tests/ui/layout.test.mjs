import assert from "node:assert/strict";
import { test } from "node:test";

import { frameOf, moved } from "../../ui/frame.mjs";
import { boxOf, columnsOf, commonScale, hung, isMirrored, keyOf, oneToOne, panned, placed, placedSquare, seen, zoomed } from "../../ui/layout.mjs";

const PANE = { width: 400, height: 800 };
const view = (laterality, name, { chestWallLeft = laterality === "L", rows = 2000, cols = 1000, spacing = [0.1, 0.1] } = {}) => {
  const to_square = chestWallLeft ? [[0.5, 0, 0], [0, 0.25, 0], [0, 0, 1]] : [[-0.5, 0, 0.5 * cols], [0, 0.25, 0], [0, 0, 1]];
  const box = { left: 0, top: 0, right: cols, bottom: rows };
  return { laterality, view: name, rows, cols, spacing, box, frame: frameOf({ to_square, size: 500, rows, cols }) };
};
const near = (found, wanted) => found.forEach((number, place) => assert.ok(Math.abs(number - wanted[place]) < 1e-6, `${found} is not ${wanted}`));
const exam = [view("L", "MLO"), view("L", "CC"), view("R", "MLO"), view("R", "CC")];

test("the right breast hangs on the left, CC before MLO", () => {
  assert.deepEqual(hung([...exam], "exam").map(keyOf), ["R-CC", "L-CC", "R-MLO", "L-MLO"]);
  assert.deepEqual(hung([...exam], "L").map(keyOf), ["L-CC", "L-MLO"]);
});

test("chest walls stand back to back: at the right edge of a right breast's pane, at the left edge of a left one's", () => {
  const scale = commonScale(exam, exam.map(() => PANE));
  for (const chestWallLeft of [true, false]) {
    const left = view("L", "CC", { chestWallLeft });
    const right = view("R", "CC", { chestWallLeft });
    const wall = chestWallLeft ? 0 : 1000;
    assert.ok(Math.abs(moved(placed(left, PANE, scale), [wall, 0])[0] - 4) < 1e-9);
    assert.ok(Math.abs(moved(placed(right, PANE, scale), [wall, 0])[0] - 396) < 1e-9);
    assert.equal(isMirrored(left), !chestWallLeft);
    assert.equal(isMirrored(right), chestWallLeft);
  }
});

test("one scale holds for all views, in millimetres", () => {
  const fine = view("L", "CC", { rows: 4000, cols: 2000, spacing: [0.05, 0.05] });
  const scale = commonScale([fine, view("L", "MLO")], [PANE, PANE]);
  const span = (one) => placed(one, PANE, scale)[4] * one.rows;
  assert.ok(Math.abs(span(fine) - span(view("L", "MLO"))) < 1e-9);
  assert.ok(span(fine) <= PANE.height);
});

test("in the model's square the corners of the square are those of the pane's square", () => {
  const one = view("L", "MLO");
  const matrix = placedSquare(one, { width: 408, height: 608 });
  const [x, y] = moved(matrix, moved(one.frame.toPixels, [500, 500]));
  assert.ok(Math.abs(x - 404) < 1e-6 && Math.abs(y - 504) < 1e-6);
});

test("a rectangle that the model sees fits the pane along both axes, in the middle", () => {
  const to_square = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]];
  for (const [size, across, down] of [[[1000, 400], 0.6 * 400, 600], [[400, 1000], 400, 160]]) {
    const frame = frameOf({ to_square, size, rows: 2000, cols: 1000 });
    const [height, width] = size;
    const [[left, top], [right, bottom]] = [[0, 0], [width, height]].map((corner) => moved(placedSquare({ frame }, { width: 408, height: 608 }), moved(frame.toPixels, corner)));
    near([left + right, top + bottom], [408, 608]);
    near([right - left, bottom - top], [across, down]);
  }
});

test("a zoom keeps the point under the cursor, and stays within bounds", () => {
  const fitted = placed(exam[0], PANE, commonScale(exam, exam.map(() => PANE)));
  const cursor = [123, 456];
  const back = (matrix) => [(cursor[0] - matrix[2]) / matrix[0], (cursor[1] - matrix[5]) / matrix[4]];
  const closer = zoomed(fitted, 3, cursor, fitted);
  back(closer).forEach((place, index) => assert.ok(Math.abs(place - back(fitted)[index]) < 1e-6));
  assert.ok(Math.abs(Math.abs(zoomed(fitted, 1e9, cursor, fitted)[0]) - 16) < 1e-9);
  assert.ok(Math.abs(zoomed(fitted, 1e-9, cursor, fitted)[0] / fitted[0] - 0.25) < 1e-9);
  for (const ratio of [1, 1.25, 2, 3]) {
    const [a, , c, , , f] = oneToOne(fitted, cursor, ratio);
    assert.ok(Math.abs(Math.abs(a) * ratio - 1) < 1e-9);
    for (const place of [c, f]) assert.ok(Math.abs(place * ratio - Math.round(place * ratio)) < 1e-9, "pixels on pixels");
  }
  assert.deepEqual(panned([1, 0, 2, 0, 1, 3], 10, 20), [1, 0, 12, 0, 1, 23]);
});

test("only what can be seen is drawn", () => {
  const image = { rows: 2000, cols: 1000 };
  assert.deepEqual(seen(image, [1, 0, -100, 0, 1, -50], { width: 10, height: 20 }), { left: 100, top: 50, right: 110, bottom: 70 });
  const away = seen(image, [1, 0, 5000, 0, 1, 0], { width: 10, height: 20 });
  assert.equal(away.right - away.left, 0);
});

test("what is to be seen of an image is its tissue, not its air", () => {
  const pixels = new Uint16Array(100 * 80);
  for (let row = 20; row < 60; row += 1) pixels.fill(30000, row * 80, row * 80 + 40);
  pixels[99 * 80 + 79] = 65535; // a speck
  const box = boxOf({ pixels, rows: 100, cols: 80 }, 8, { rows: 800, cols: 645 });
  assert.deepEqual(box, { left: 0, top: 144, right: 336, bottom: 496 });
  assert.deepEqual(boxOf({ pixels: new Uint16Array(4), rows: 2, cols: 2 }, 8, { rows: 17, cols: 16 }), { left: 0, top: 0, right: 16, bottom: 17 });
});

test("panes are as wide as what is seen in them, and alike where all show the square", () => {
  const views = [view("L", "CC", { cols: 500 }), view("L", "MLO")];
  assert.equal(columnsOf(views, false), "minmax(0, 50fr) minmax(0, 100fr)");
  assert.equal(columnsOf(views, true), "minmax(0, 1fr) minmax(0, 1fr)");
  const narrow = { width: 58, height: 800 };
  assert.equal(commonScale(views, [narrow, PANE]), 1);
});
