/**
 * Geometry of a view: stored pixels to the model's square, and cells. As glam/frame.py: points are [x, y] = [column,
 * row], the centre of pixel i at i + 0.5, so that an image of n columns spans 0..n. A matrix is [a, b, c, d, e, f]:
 * x' = a x + b y + c, y' = d x + e y + f.
 */

/** @typedef {[number, number]} Point */
/** @typedef {[number, number, number, number, number, number]} Affine */

/** The affine matrix of a server's 3 x 3. */
export const affineOf = ([[a, b, c], [d, e, f]]) => [a, b, c, d, e, f];

/** Where a matrix puts a point. */
export const moved = ([a, b, c, d, e, f], [x, y]) => [a * x + b * y + c, d * x + e * y + f];

/** The matrix that undoes another; RangeError when none does. */
export function inverse([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  if (!Number.isFinite(det) || Math.abs(det) < 1e-12) throw new RangeError("the matrix has no inverse");
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

/** The matrix that does `first`, then `second`. */
export function composed(first, second) {
  const [a, b, c, d, e, f] = second;
  const [g, h, i, j, k, l] = first;
  return [a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f];
}

/** The frame of a view as the server tells it, with the way back; `size` is one number, or rows and columns. */
export function frameOf({ to_square, size, rows, cols }) {
  const toSquare = affineOf(to_square);
  const [height, width] = Array.isArray(size) ? size : [size, size];
  return { toSquare, toPixels: inverse(toSquare), width, height, rows, cols };
}

/**
 * The cell under a stored pixel, of a side x side grid over the square.
 * @returns {{row: number, col: number} | null} null outside the square, which the model does not see, and without a grid
 */
export function cellAt(frame, side, point) {
  if (side === null) return null;
  const [x, y] = moved(frame.toSquare, point);
  if (!(x >= 0 && y >= 0 && x < frame.width && y < frame.height)) return null;
  return { row: Math.floor((y * side) / frame.height), col: Math.floor((x * side) / frame.width) };
}

/** The corners, in stored pixels, of a cell: top left, top right, bottom right, bottom left of the square. */
export function cellPolygon(frame, side, { row, col }) {
  const [across, down] = stepsOf(frame, side);
  const corners = [[col, row], [col + 1, row], [col + 1, row + 1], [col, row + 1]];
  return corners.map(([x, y]) => within(frame, moved(frame.toPixels, [x * across, y * down])));
}

/** The middle of a cell, in stored pixels. */
export function cellMiddle(frame, side, { row, col }) {
  const [across, down] = stepsOf(frame, side);
  return moved(frame.toPixels, [(col + 0.5) * across, (row + 0.5) * down]);
}

/** The corners of a whole slice: all rows of one column of cells, which is one position from chest wall to nipple. */
export function slicePolygon(frame, side, col) {
  const [step] = stepsOf(frame, side);
  const corners = [[col * step, 0], [(col + 1) * step, 0], [(col + 1) * step, frame.height], [col * step, frame.height]];
  return corners.map((corner) => within(frame, moved(frame.toPixels, corner)));
}

/** Millimetres between two stored pixels; null where the distance of pixels is not known. */
export function distanceMm(spacing, [x, y], [u, v]) {
  if (!spacing) return null;
  const [ofRows, ofCols] = spacing;
  return Math.hypot((x - u) * ofCols, (y - v) * ofRows);
}

/** How wide and how high a cell of the square is. */
export const stepsOf = ({ width, height }, side) => [width / side, height / side];

function within({ rows, cols }, [x, y]) {
  return [Math.min(Math.max(x, 0), cols), Math.min(Math.max(y, 0), rows)];
}
