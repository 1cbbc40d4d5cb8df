import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, actionOf, stepOf } from "../../ui/keys.mjs";
import { heatColour } from "../../ui/overlay.mjs";
import { NOT_COMPARED, said, scaleText, sentence } from "../../ui/words.mjs";

const query = { key: "R-CC", cell: { row: 5, col: 5 } };

test("a sentence says what is asked and where the model looks", () => {
  const weights = [0, 0.31, 0, 0, 0, 0, 0.69, 0, 0];
  assert.equal(sentence(query, weights, "R-MLO"), "right CC, row 6, slice 6. The model looks most at right MLO, row 7: 69 percent.");
  assert.match(sentence(query, Array(9).fill(1 / 9), "R-MLO"), /nearly even: it points at nothing/);
  assert.match(sentence(query, null, "R-MLO"), /no right MLO view/);
  assert.equal(sentence(null, null, "R-MLO"), "Nothing is pointed at.");
});

test("in place of a query it is said that the model does not compare views", () => {
  assert.equal(said({ query: null, pins: [] }, null, undefined, null), NOT_COMPARED);
  assert.equal(said({ query: null, pins: [] }, null, "24.0 mm", null), `${NOT_COMPARED} Ruler: 24.0 mm.`);
  assert.equal(said({ query: null, pins: [] }, null, undefined, 9), "Nothing is pointed at.");
});

test("every key does one thing, and none is the browser's", () => {
  const every = KEYS.flatMap(({ keys }) => keys);
  assert.equal(new Set(every).size, every.length);
  assert.equal(actionOf({ key: "i" }), "invert");
  assert.equal(actionOf({ key: "i", ctrlKey: true }), null);
  assert.equal(actionOf({ key: "F5" }), null);
});

test("arrows walk as the view is seen", () => {
  assert.deepEqual(stepOf("ArrowRight", false), [0, 1]);
  assert.deepEqual(stepOf("ArrowRight", true), [0, -1]);
  assert.deepEqual(stepOf("ArrowUp", true), [-1, 0]);
});

test("heat runs from its first colour to its last", () => {
  assert.deepEqual([0, 1, 7].map(heatColour), [[40, 11, 84], [250, 193, 39], [250, 193, 39]]);
  assert.deepEqual(heatColour(0.1), [71, 16, 97]);
});

test("a scale is told across and down where they differ, and none in centimetres without a spacing", () => {
  assert.equal(scaleText([-0.5, 0, 9, 0, 0.5, 9], [0.1, 0.1], 2), "100 %, 50 px/cm");
  assert.equal(scaleText([1, 0, 0, 0, 0.7, 0], [0.07, 0.1], 1), "100 x 70 %, 100 px/cm"); // square on the screen
  assert.equal(scaleText([2, 0, 0, 0, 1, 0], [0.1, 0.1], 1), "200 x 100 %, 200 x 100 px/cm"); // the model's square
  assert.equal(scaleText([0.6, 0.8, 0, -0.8, 0.6, 0], [0.1, 0.1], 1), "100 %, 100 px/cm"); // inclined
  assert.equal(scaleText([1, 0, 0, 0, 1, 0], null, 1), "100 %, no spacing");
});

test("whether the query is pinned is said, and a ruler's length", () => {
  const pin = { key: "R-CC", cell: { row: 5, col: 5 } };
  assert.equal(said({ query: null, pins: [pin] }, null), "Nothing is pointed at.");
  assert.match(said({ query: pin, pins: [] }, null), /view to look at\.$/);
  assert.match(said({ query: { ...pin }, pins: [pin] }, null, "24.0 mm"), /view to look at\. Pinned\. Ruler: 24\.0 mm\.$/);
});
