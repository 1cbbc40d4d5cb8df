import assert from "node:assert/strict";
import { test } from "node:test";

import { Choices } from "../../ui/choosing.mjs";

const inList = { closest: (selector) => (selector.startsWith("#glam-example") ? {} : null) };
const elsewhere = { closest: () => null };

test("another name is a choice, once", () => {
  const choices = new Choices(null);
  assert.equal(choices.taken("first"), "first");
  assert.equal(choices.taken("first"), null); // Gradio says it twice
});

test("a list that is left is no choice, of the link's example neither", () => {
  const choices = new Choices("of the link");
  assert.equal(choices.taken("of the link"), null);
});

test("the same name is a choice again by a press on its option or by Enter", () => {
  const choices = new Choices("first");
  choices.pressed({ target: inList });
  assert.equal(choices.taken("first"), "first");
  choices.typed({ key: "Enter", target: inList });
  assert.equal(choices.taken("first"), "first");
  choices.typed({ key: "Tab", target: inList });
  choices.typed({ key: "Enter", target: elsewhere });
  choices.pressed({ target: elsewhere });
  assert.equal(choices.taken("first"), null);
});
