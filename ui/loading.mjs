/** What the page fetches of an exam: its views with their pixels, and how cells gather from patches. */

import { pyramid, unpacked } from "./decode.mjs";
import { frameOf } from "./frame.mjs";
import { halves } from "./heat.mjs";
import { boxOf, keyOf } from "./layout.mjs";
import { windowOf } from "./window.mjs";

const SAMPLES = 200_000;
/** Pixels by which the first window is chosen. */

/** An answer of the page's own server; Error where it has none. */
export async function fetched(path) {
  const answer = await fetch(new URL(path, document.baseURI));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer;
}

/** A view with its pixels, its windows, and the part of it that is not air. */
export async function withPixels(view) {
  const answer = await fetched(view.pixels);
  const pixels = await unpacked(answer.body, view.rows, view.cols);
  const levels = pyramid({ pixels, rows: view.rows, cols: view.cols });
  const smallest = levels.length - 1;
  const box = boxOf(levels[smallest], 2 ** smallest, view);
  return { ...view, key: keyOf(view), frame: frameOf(view.frame), levels, windows: windowsOf(pixels), box };
}

/** The pooling of each breast and view, "L-CC" to numbers; none of a breast of one view. */
export async function poolings(breasts) {
  const paths = Object.entries(breasts).flatMap(([side, { pooling }]) =>
    Object.entries(pooling ?? {}).map(([view, path]) => [`${side}-${view.toUpperCase()}`, path]),
  );
  const numbers = paths.map(async ([key, path]) => [key, halves(await (await fetched(path)).arrayBuffer())]);
  return Object.fromEntries(await Promise.all(numbers));
}

function windowsOf(pixels) {
  const breast = windowOf(pixels, { step: Math.max(1, Math.floor(pixels.length / SAMPLES)), above: 0 });
  return [
    { name: "as the model", window: { centre: 32768, width: 65536, inverted: false } },
    { name: "breast", window: breast },
    { name: "dense tissue", window: { centre: breast.centre + breast.width / 4, width: breast.width / 2, inverted: false } },
  ];
}
