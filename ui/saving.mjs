/** What a reader takes along: a picture or a page of what is seen, and what the server said. */

import { fetched } from "./loading.mjs";
import { composed, pdfOf } from "./report.mjs";

/** Save what the server keeps under a path; the browser takes the name from the answer. */
export async function saveKept(path, kind) {
  const answer = await fetched(path);
  const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1] ?? `glam.${kind}`;
  saved(await answer.blob(), name);
}

/**
 * Save what is seen; the name of the file is of the views, never of a patient.
 * @param {"png" | "pdf"} kind
 * @param {import("./pane.mjs").Pane[]} panes
 * @param {{notice: string, words: string[]}} exam
 * @param {string} said aloud, of the place that is pointed at
 */
export async function saveSeen(kind, panes, exam, said) {
  const canvas = composed(panes, `${exam.notice}. ${exam.words[0]}`);
  const name = `glam-${panes.map(({ view }) => view.key).join("-")}.${kind}`;
  if (kind === "png") {
    saved(await canvas.convertToBlob({ type: "image/png" }), name);
    return;
  }
  const jpeg = new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 })).arrayBuffer());
  const lines = [said, ...exam.words];
  const pdf = pdfOf({ title: `GLAM viewer: ${exam.notice}`, jpeg, width: canvas.width, height: canvas.height, lines });
  saved(new Blob([pdf], { type: "application/pdf" }), name);
}

function saved(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
