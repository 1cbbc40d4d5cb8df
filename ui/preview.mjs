/** An exam before the model has answered: its views, small, hung as they will hang, on black. */

import { hung, keyOf } from "./layout.mjs";

const MARGIN = 4;
/**
 * Show small pictures of views in a stage.
 * @param {HTMLElement} stage
 * @param {object[]} views with `picture`, where the bytes of a PNG are
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

async function fetched({ picture }) {
  const answer = await fetch(new URL(picture, document.baseURI));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return createImageBitmap(await answer.blob());
}

function figureOf(view) {
  const figure = document.createElement("figure");
  figure.className = `glam-pane glam-preview${view.laterality === "R" ? " glam-right" : ""}`;
  figure.append(document.createElement("canvas"), Object.assign(document.createElement("figcaption"), { textContent: keyOf(view).replace("-", " ") }));
  return figure;
}

function drawn(figure, { laterality, turned }, image, width, height) {
  const canvas = figure.firstElementChild;
  canvas.width = figure.clientWidth;
  canvas.height = figure.clientHeight;
  const context = canvas.getContext("2d");
  context.translate(laterality === "L" ? MARGIN : canvas.width - MARGIN - width, (canvas.height - height) / 2);
  context.transform(turned.mirrored ? -1 : 1, 0, 0, turned.upside_down ? -1 : 1, turned.mirrored ? width : 0, turned.upside_down ? height : 0);
  context.drawImage(image, 0, 0, width, height);
}
