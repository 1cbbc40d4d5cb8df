/** An image in its window: the pixels that can be seen, at the resolution of the screen, as something a canvas draws. */

/**
 * The coarsest level of a pyramid that still has a pixel for each of the screen.
 * @param {object[]} levels
 * @param {number} scale screen pixels of one stored pixel
 */
export function levelFor(levels, scale) {
  const wanted = Math.floor(Math.log2(Math.max(1, 1 / scale)));
  return Math.min(wanted, levels.length - 1);
}

/**
 * Grey values of a part of a level.
 * @param {{pixels: Uint16Array, cols: number}} level
 * @param {{left: number, top: number, right: number, bottom: number}} part whole pixels of the level
 * @param {Uint8ClampedArray} table grey value of each display value
 * @returns {Uint32Array} RGBA of each pixel, opaque
 */
export function greys({ pixels, cols }, { left, top, right, bottom }, table) {
  const width = right - left;
  const rgba = new Uint32Array(width * (bottom - top));
  for (let row = top, place = 0; row < bottom; row += 1) {
    for (let source = row * cols + left, end = source + width; source < end; source += 1, place += 1) {
      rgba[place] = 0xff000000 | (table[pixels[source]] * 0x010101);
    }
  }
  return rgba;
}

/** What was drawn last of a view, kept while neither the part of it nor its window changes. */
export class Raster {
  constructor(levels) {
    this.levels = levels;
    this.key = "";
    this.canvas = null;
    this.place = null;
  }

  /**
   * The canvas to draw, and where it lies in stored pixels.
   * @param {number} scale screen pixels of one stored pixel
   * @param {{left: number, top: number, right: number, bottom: number}} part that can be seen, in stored pixels
   * @param {Uint8ClampedArray} table
   * @param {string} windowKey changes with the table
   */
  drawn(scale, part, table, windowKey) {
    const number = levelFor(this.levels, scale);
    const level = this.levels[number];
    const step = 2 ** number;
    const box = {
      left: Math.min(Math.floor(part.left / step), level.cols),
      top: Math.min(Math.floor(part.top / step), level.rows),
      right: Math.min(Math.ceil(part.right / step), level.cols),
      bottom: Math.min(Math.ceil(part.bottom / step), level.rows),
    };
    const key = `${number} ${Object.values(box)} ${windowKey}`;
    if (key !== this.key) {
      this.key = key;
      this.canvas = this.#filled(level, box, table);
      this.place = { left: box.left * step, top: box.top * step, step };
    }
    return { canvas: this.canvas, ...this.place };
  }

  #filled(level, box, table) {
    const width = box.right - box.left;
    const height = box.bottom - box.top;
    if (width <= 0 || height <= 0) return null;
    const canvas = new OffscreenCanvas(width, height);
    const rgba = greys(level, box, table);
    canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba.buffer), width, height), 0, 0);
    return canvas;
  }
}
