/** An exam before the model has answered: its views, small, hung as they will hang, on black. */

import { unpacked } from "./decode.mjs";
import { hung, keyOf } from "./layout.mjs";

const MARGIN = 4;
const TISSUE = 8000;
/** Display values of tissue are above it, mostly. */

/** Whether tissue lies against the left edge of an image, and not the right one: there is its chest wall. */
export function liesLeft({ pixels, rows, cols }) {
  const depth = Math.max(1, Math.round(cols / 20));
  let balance = 0;
  for (let row = 0; row < rows; row += 1) {
    for (let col = 0; col < depth; col += 1) {
      balance += (pixels[row * cols + col] > TISSUE) - (pixels[row * cols + cols - 1 - col] > TISSUE);
    }
  }
  return balance >= 0;
}

/**
 * Show small pictures of views in a stage.
 * @param {HTMLElement} stage
 * @param {object[]} views with `pixels`, where their bytes are
 * @param {() => boolean} isWanted still, once the bytes are here
 */
export async function preview(stage, views, isWanted) {
  const shown = hung([...views], "exam");
  const images = await Promise.all(shown.map(fetched));
  if (!isWanted()) return;
  const widths = shown.map(({ cols, spacing }) => cols * (spacing?.[1] ?? 1));
  const heights = shown.map(({ rows, spacing }) => rows * (spacing?.[0] ?? 1));
  stage.style.setProperty("--glam-columns", widths.map((width) => `minmax(0, ${Math.round(width)}fr)`).join(" "));
  const figures = shown.map((view) => figureOf(view));
  stage.replaceChildren(...figures);
  const rooms = figures.map(({ clientWidth, clientHeight }, place) =>
    Math.min((clientWidth - 2 * MARGIN) / widths[place], (clientHeight - 2 * MARGIN) / heights[place]),
  );
  const scale = Math.min(...rooms);
  figures.forEach((figure, place) => drawn(figure, shown[place], images[place], widths[place] * scale, heights[place] * scale));
}

async function fetched({ pixels, rows, cols }) {
  const answer = await fetch(new URL(pixels, document.baseURI));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return { pixels: await unpacked(answer.body, rows, cols), rows, cols };
}

function figureOf(view) {
  const figure = document.createElement("figure");
  figure.className = `glam-pane glam-preview${view.laterality === "R" ? " glam-right" : ""}`;
  figure.append(document.createElement("canvas"), Object.assign(document.createElement("figcaption"), { textContent: keyOf(view).replace("-", " ") }));
  return figure;
}

function drawn(figure, { laterality }, image, width, height) {
  const canvas = figure.firstElementChild;
  canvas.width = figure.clientWidth;
  canvas.height = figure.clientHeight;
  const small = new OffscreenCanvas(image.cols, image.rows);
  const rgba = Uint32Array.from(image.pixels, (value) => 0xff000000 | ((value >> 8) * 0x010101));
  small.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba.buffer), image.cols, image.rows), 0, 0);
  const context = canvas.getContext("2d");
  const isLeft = laterality === "L";
  const isMirrored = liesLeft(image) !== isLeft;
  context.translate(isLeft ? MARGIN : canvas.width - MARGIN - width, (canvas.height - height) / 2);
  if (isMirrored) context.transform(-1, 0, 0, 1, width, 0);
  context.drawImage(small, 0, 0, width, height);
}
