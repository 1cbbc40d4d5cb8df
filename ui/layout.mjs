/** Hanging: which views are shown side by side, and where each lies in its pane. Nothing here draws. */

import { composed, inverse, moved } from "./frame.mjs";

/** A reader's order: the right breast on the left, chest walls back to back, CC before MLO. */
const HANGING = ["R-CC", "L-CC", "R-MLO", "L-MLO"];
const MARGIN = 4;
/** Screen pixels around an image. */
const LEAST_SCALE = 0.25;
/** Of the image that fits its pane: how far out one may zoom. */
const MOST_PIXEL = 16;
/** Screen pixels of one stored pixel: how far in. */

/** The name of a view in this page: "L-CC". */
export const keyOf = ({ laterality, view }) => `${laterality}-${view}`;

/**
 * The views of a layout, in the order they hang.
 * @param {object[]} views of the exam
 * @param {"exam" | "L" | "R"} layout all views, or those of one breast
 */
export function hung(views, layout) {
  const shown = views.filter(({ laterality }) => layout === "exam" || laterality === layout);
  return shown.sort((one, other) => HANGING.indexOf(keyOf(one)) - HANGING.indexOf(keyOf(other)));
}

/** Whether a view is drawn mirrored: its chest wall belongs on the right of a right breast, on the left of a left one. */
export function isMirrored({ laterality, frame }) {
  const chestWallIsLeft = frame.toSquare[0] > 0;
  return chestWallIsLeft !== (laterality === "L");
}

/** Millimetres (or pixels, where it has no spacing) that what is to be seen of a view is wide and high. */
export function extentOf({ box, spacing }) {
  const [ofRows, ofCols] = spacing ?? [1, 1];
  return { width: (box.right - box.left) * ofCols, height: (box.bottom - box.top) * ofRows };
}

/**
 * The part of an image that is not air: whole pixels, with the side of the chest wall up to the image's edge.
 * @param {{pixels: Uint16Array, rows: number, cols: number}} level a small one of its pyramid
 * @param {number} step stored pixels of one of the level's
 * @param {{rows: number, cols: number}} image
 */
export function boxOf({ pixels, rows, cols }, step, image, { least = 4000, share = 0.01 } = {}) {
  const ofRows = new Uint32Array(rows);
  const ofCols = new Uint32Array(cols);
  for (let row = 0, place = 0; row < rows; row += 1) {
    for (let col = 0; col < cols; col += 1, place += 1) {
      if (pixels[place] > least) {
        ofRows[row] += 1;
        ofCols[col] += 1;
      }
    }
  }
  const [top, bottom] = ends(ofRows, Math.max(1, share * cols), step, image.rows);
  const [left, right] = ends(ofCols, Math.max(1, share * rows), step, image.cols);
  return { left, top, right, bottom };
}

/** First and last place with more than a number of pixels, in stored pixels, with a twentieth of it to spare. */
function ends(counts, least, step, most) {
  const first = counts.findIndex((count) => count > least);
  const last = counts.findLastIndex((count) => count > least);
  if (first < 0) return [0, most];
  const spare = Math.ceil((last + 1 - first) / 20);
  return [Math.max(0, (first - spare) * step), Math.min(most, (last + 1 + spare) * step)];
}

/**
 * The scale, in screen pixels a millimetre, at which every view fits its pane: one for all, so that sizes compare.
 * @param {object[]} views
 * @param {{width: number, height: number}[]} panes of the views
 */
export function commonScale(views, panes) {
  const scales = views.map((view, place) => {
    const { width, height } = extentOf(view);
    return Math.min((panes[place].width - 2 * MARGIN) / width, (panes[place].height - 2 * MARGIN) / height);
  });
  return Math.min(...scales);
}

/** How wide the panes are beside each other: as wide as their views, so that none has air to spare; CSS. */
export function columnsOf(views, aligned) {
  return views.map((view) => `minmax(0, ${aligned ? 1 : Math.round(extentOf(view).width)}fr)`).join(" ");
}

/** The matrix from stored pixels to the screen pixels of a pane: the chest wall at the pane's edge, in the middle of its height. */
export function placed(view, pane, scale) {
  const [ofRows, ofCols] = view.spacing ?? [1, 1];
  const { box } = view;
  const { height } = extentOf(view);
  const across = (isMirrored(view) ? -1 : 1) * ofCols * scale;
  const wall = view.frame.toSquare[0] > 0 ? box.left : box.right;
  const edge = view.laterality === "L" ? MARGIN : pane.width - MARGIN;
  return [across, 0, edge - wall * across, 0, ofRows * scale, (pane.height - height * scale) / 2 - box.top * ofRows * scale];
}

/** The same for the model's square, in which the slices of both views stand upright: it fills the pane, a rectangle too. */
export function placedSquare({ frame }, pane) {
  const scale = Math.min((pane.width - 2 * MARGIN) / frame.width, (pane.height - 2 * MARGIN) / frame.height);
  const toPane = [scale, 0, (pane.width - scale * frame.width) / 2, 0, scale, (pane.height - scale * frame.height) / 2];
  return composed(frame.toSquare, toPane);
}

/** A matrix that zooms about a point of the screen, by as much of `factor` as the bounds allow. */
export function zoomed(matrix, factor, [x, y], fitted) {
  const size = Math.hypot(matrix[0], matrix[3]);
  const least = LEAST_SCALE * Math.hypot(fitted[0], fitted[3]);
  const allowed = Math.min(Math.max(size * factor, least), MOST_PIXEL) / size;
  return composed(matrix, [allowed, 0, x * (1 - allowed), 0, allowed, y * (1 - allowed)]);
}

/** A matrix moved by so many screen pixels. */
export const panned = (matrix, x, y) => composed(matrix, [1, 0, x, 0, 1, y]);

/**
 * The matrix at which one stored pixel is one pixel of the display across, a point of the screen kept in place to half
 * of one: edges of pixels fall on edges of pixels, so that grey values are shown as they are.
 * @param {number} ratio pixels of the display of one screen pixel
 */
export function oneToOne(matrix, [x, y], ratio) {
  const factor = 1 / (Math.hypot(matrix[0], matrix[3]) * ratio);
  const [a, b, c, d, e, f] = composed(matrix, [factor, 0, x * (1 - factor), 0, factor, y * (1 - factor)]);
  const whole = (place) => Math.round(place * ratio) / ratio;
  return [a, b, whole(c), d, e, whole(f)];
}

/** The part of an image that can be seen in a pane: whole pixels, {left, top, right, bottom}; empty when none can. */
export function seen({ rows, cols }, matrix, pane) {
  const back = inverse(matrix);
  const corners = [[0, 0], [pane.width, 0], [pane.width, pane.height], [0, pane.height]].map((corner) => moved(back, corner));
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  const clip = (value, most) => Math.min(Math.max(value, 0), most);
  return {
    left: clip(Math.floor(Math.min(...xs)), cols),
    top: clip(Math.floor(Math.min(...ys)), rows),
    right: clip(Math.ceil(Math.max(...xs)), cols),
    bottom: clip(Math.ceil(Math.max(...ys)), rows),
  };
}
