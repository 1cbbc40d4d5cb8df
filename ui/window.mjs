/** Windows: which display values are black and white. Display values are whole numbers from 0, black, to WHITE. */

export const WHITE = 65535;
const VALUES = WHITE + 1;
const LEAST_WIDTH = 16;

/** @typedef {{centre: number, width: number, inverted: boolean}} Window */

/** The window of a part of the values, shares of them left outside at both ends. */
export function windowOf(pixels, { dark = 0.01, bright = 0.001, step = 1, above = 0 } = {}) {
  const counts = new Uint32Array(VALUES);
  let count = 0;
  for (let place = 0; place < pixels.length; place += step) {
    if (pixels[place] > above) {
      counts[pixels[place]] += 1;
      count += 1;
    }
  }
  if (count === 0) return { centre: VALUES / 2, width: VALUES, inverted: false };
  const low = valueAt(counts, count * dark);
  const high = valueAt(counts, count * (1 - bright));
  return { centre: (low + high) / 2, width: Math.max(LEAST_WIDTH, high - low), inverted: false };
}

function valueAt(counts, wanted) {
  let seen = 0;
  for (let value = 0; value < VALUES; value += 1) {
    seen += counts[value];
    if (seen >= wanted) return value;
  }
  return WHITE;
}

/** A window within what makes sense of display values. */
export function bounded({ centre, width, inverted }) {
  const within = (value, least, most) => Math.min(most, Math.max(least, value));
  return { centre: within(centre, 0, VALUES), width: within(width, LEAST_WIDTH, 4 * VALUES), inverted };
}

/** Another window of the same view, moved by a drag of so many parts of the pane: right is wider, down is brighter. */
export function dragged({ centre, width, inverted }, right, down) {
  return bounded({ centre: centre - down * Math.max(width, VALUES / 16), width: width * Math.exp(2 * right), inverted });
}

/**
 * The grey value of each display value: a table of 65,536 bytes.
 * @param {Window} window
 * @param {Uint8ClampedArray} [table] to be filled in place of a new one
 */
export function tableOf({ centre, width, inverted }, table = new Uint8ClampedArray(VALUES)) {
  const low = centre - width / 2;
  const slope = 255 / width;
  for (let value = 0; value < VALUES; value += 1) table[value] = (value - low) * slope;
  if (inverted) for (let value = 0; value < VALUES; value += 1) table[value] = 255 - table[value];
  return table;
}

/**
 * A window in words: its name if it is one of those that are offered, else centre and width.
 * @param {{centre: number, width: number, inverted: boolean}} window
 * @param {{name: string, window: {centre: number, width: number}}[]} offered
 */
export function windowText({ centre, width, inverted }, offered) {
  const named = offered.find(({ window }) => window.centre === centre && window.width === width)?.name;
  return `${named ?? `C ${Math.round(centre)} W ${Math.round(width)}`}${inverted ? ", inverted" : ""}`;
}
