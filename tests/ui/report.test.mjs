import assert from "node:assert/strict";
import { test } from "node:test";

import { pdfOf } from "../../ui/report.mjs";

const latin = (bytes) => Buffer.from(bytes).toString("latin1");
const report = { title: "GLAM (research use only, not for diagnosis)", jpeg: Uint8Array.from([0xff, 0xd8, 0x28, 0xff, 0xd9]), width: 1600, height: 900, lines: ["left CC, row 5 \\ slice 8", "größer – 2"] };

test("the table of a PDF names where each object begins", () => {
  const text = latin(pdfOf(report));
  const table = Number(text.match(/startxref\n(\d+)/)[1]);
  assert.ok(text.slice(table).startsWith("xref\n0 7\n"));
  const starts = [...text.slice(table).matchAll(/^(\d{10}) 00000 n $/gm)].map(([, start]) => Number(start));
  assert.equal(starts.length, 6);
  starts.forEach((start, place) => assert.ok(text.slice(start).startsWith(`${place + 1} 0 obj\n`)));
});

test("each stream is as long as it says", () => {
  const text = latin(pdfOf(report));
  for (const [, length, stream] of text.matchAll(/\/Length (\d+) >>\nstream\n([\s\S]*?)\nendstream/g)) assert.equal(stream.length, Number(length));
});

test("brackets and backslashes of the text are escaped, letters kept, others a question mark", () => {
  const text = latin(pdfOf(report));
  assert.ok(text.includes("(GLAM \\(research use only, not for diagnosis\\)) Tj"));
  assert.ok(text.includes("(left CC, row 5 \\\\ slice 8) Tj"));
  assert.ok(text.includes("(größer ? 2) Tj"));
});
