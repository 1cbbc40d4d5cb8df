/** The bars under the views: the weights of a slice, row by row, and how even they are. */

import { heatOf, spreadOf } from "./attention.mjs";
import { heatColour } from "./overlay.mjs";

/** Draw the weights; null: there are none. */
export function drawStrip(strip, weights) {
  const heat = weights ? heatOf(weights) : [];
  const bars = heat.map((strength, row) => barOf(weights[row], strength, row));
  strip.querySelector(".glam-bars").replaceChildren(...bars);
  strip.querySelector(".glam-spread").textContent = weights ? `entropy ${Math.round(100 * spreadOf(weights))} % of even` : "";
}

function barOf(weight, strength, row) {
  const bar = document.createElement("i");
  bar.style.height = `${Math.max(2, 100 * weight)}%`;
  bar.style.background = `rgb(${heatColour(strength).join(" ")})`;
  bar.title = `row ${row + 1}: ${(100 * weight).toFixed(1)} %`;
  return bar;
}
