import assert from "node:assert/strict";
import { test } from "node:test";

import { asLink, asked, begun, cleared, entered, followed, fromLink, laidOut, otherBreast, otherKey, pinned, stepped } from "../../ui/state.mjs";

const VIEWS = [["L", "CC"], ["L", "MLO"], ["R", "CC"], ["R", "MLO"]].map(([laterality, view]) => ({ laterality, view }));
const linkOf = (view) => new URLSearchParams({ view: JSON.stringify(view) }).toString();
const query = { key: "L-CC", cell: { row: 2, col: 3 } };

test("an exam begins with all of it, a lone breast with its pair", () => {
  assert.equal(begun(VIEWS).layout, "exam");
  assert.equal(begun(VIEWS.slice(2)).layout, "R");
});

test("a query walks by cells and stays within the grid", () => {
  const start = stepped(begun(VIEWS), VIEWS, 9, 0, 1);
  assert.deepEqual(start.query, { key: "R-CC", cell: { row: 4, col: 4 } });
  let state = asked(start, query);
  for (let step = 0; step < 12; step += 1) state = stepped(state, VIEWS, 9, -1, 1);
  assert.deepEqual(state.query, { key: "L-CC", cell: { row: 0, col: 8 } });
});

test("where the model has no cells nothing is asked, by no key and no link", () => {
  const state = begun(VIEWS);
  assert.equal(stepped(state, VIEWS, null, 0, 1), state);
  assert.equal(entered(state, "L-CC", null), state);
  const sent = fromLink(linkOf({ query, pins: [query], opacity: 0.3 }), state, VIEWS, null);
  assert.deepEqual([sent.query, sent.pins, sent.opacity], [null, [], 0.3]);
});

test("following the peak goes to the same slice of the other view", () => {
  assert.deepEqual(followed(asked(begun(VIEWS), query), 7).query, { key: "L-MLO", cell: { row: 7, col: 3 } });
  assert.equal(otherKey("R-MLO"), "R-CC");
  assert.equal(otherBreast("R-MLO"), "L-MLO");
});

test("a pin is set and taken out again", () => {
  const once = pinned(asked(begun(VIEWS), query));
  assert.deepEqual(once.pins, [query]);
  assert.deepEqual(pinned(once).pins, []);
  assert.deepEqual(cleared(once).pins, []);
  assert.equal(pinned(begun(VIEWS)).pins.length, 0);
});

test("a layout without the breast of the query drops it", () => {
  const state = asked(begun(VIEWS), query);
  assert.equal(laidOut(state, "R", VIEWS).query, null);
  assert.deepEqual(laidOut(state, "L", VIEWS).query, query);
  assert.equal(laidOut({ ...laidOut(state, "L", VIEWS), aligned: true }, "exam", VIEWS).aligned, false);
});

test("a link brings the same state back", () => {
  const windows = { "L-CC": { centre: 100, width: 200, inverted: true } };
  const state = { ...pinned(asked(laidOut(begun(VIEWS), "L", VIEWS), query)), opacity: 0.25, windows };
  assert.deepEqual(fromLink(asLink(state), begun(VIEWS), VIEWS, 9), state);
});

test("what a link cannot mean is left out", () => {
  const start = begun(VIEWS);
  const bad = { layout: "<b>", query: { key: "X-CC", cell: { row: 0, col: 0 } }, pins: [{ key: "L-CC", cell: { row: 99, col: 0 } }, null], opacity: "1", windows: { "L-CC": { centre: null, width: -1 } } };
  assert.deepEqual(fromLink(linkOf(bad), start, VIEWS, 9), start);
  for (const text of ["%", "null", "[", "3", "", "[".repeat(1e5)]) assert.deepEqual(fromLink(`view=${text}`, start, VIEWS, 9), start);
});

test("a link cannot ask for more than there is", () => {
  const many = Array.from({ length: 10_000 }, () => ({ key: "L-CC", cell: { row: 1, col: 1, and: "more" }, and: "more" }));
  const windows = { "L-CC": { centre: 1e308, width: 1e308 }, "R-CC": { centre: -5, width: 1e-300 }, "L-MLO": null };
  const state = fromLink(linkOf({ pins: many, windows }), begun(VIEWS), VIEWS, 9);
  assert.deepEqual(state.pins, [{ key: "L-CC", cell: { row: 1, col: 1 } }]);
  assert.deepEqual(state.windows, { "L-CC": { centre: 65536, width: 262144, inverted: false }, "R-CC": { centre: 0, width: 16, inverted: false } });
});

test("a link's query is of a view that its layout shows", () => {
  const state = fromLink(linkOf({ layout: "R", query }), begun(VIEWS), VIEWS, 9);
  assert.equal(state.layout, "R");
  assert.equal(state.query, null);
});

test("a breast of which there is no view is not hung", () => {
  const state = begun(VIEWS.slice(0, 2));
  assert.equal(laidOut(state, "R", VIEWS.slice(0, 2)), state);
});
