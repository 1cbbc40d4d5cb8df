/** Pixels as `packing.py` sends them: gzip of zig-zag differences, all high bytes, then all low bytes. */

/**
 * The pixels of an image.
 * @param {ReadableStream<Uint8Array>} stream what the server sent
 * @param {number} rows
 * @param {number} cols
 * @returns {Promise<Uint16Array>} rows * cols numbers, row by row
 * @throws {RangeError} when there are more or fewer bytes than the image has
 */
export async function unpacked(stream, rows, cols) {
  const inflated = stream.pipeThrough(new DecompressionStream("gzip"));
  const planes = new Uint8Array(await new Response(inflated).arrayBuffer());
  if (planes.length !== 2 * rows * cols) {
    throw new RangeError(`${planes.length} bytes for ${rows} x ${cols} pixels`);
  }
  return undone(planes, rows, cols);
}

/**
 * The pixels of the two planes of differences.
 * @param {Uint8Array} planes
 * @param {number} rows
 * @param {number} cols
 * @returns {Uint16Array}
 */
export function undone(planes, rows, cols) {
  const count = rows * cols;
  const pixels = new Uint16Array(count);
  let first = 0;
  for (let row = 0, place = 0; row < rows; row += 1) {
    let value = first;
    for (let col = 0; col < cols; col += 1, place += 1) {
      const zigzag = (planes[place] << 8) | planes[count + place];
      value = (value + ((zigzag >> 1) ^ -(zigzag & 1))) & 0xffff;
      pixels[place] = value;
      if (col === 0) first = value;
    }
  }
  return pixels;
}

/**
 * Images of half the size, each pixel the mean of four, until one side is below `least`; the first is the image itself.
 * @param {{pixels: Uint16Array, rows: number, cols: number}} image
 * @param {number} least
 */
export function pyramid(image, least = 256) {
  const levels = [image];
  while (Math.min(levels.at(-1).rows, levels.at(-1).cols) >= 2 * least) levels.push(halved(levels.at(-1)));
  return levels;
}

function halved({ pixels, rows, cols }) {
  const halfRows = rows >> 1;
  const halfCols = cols >> 1;
  const half = new Uint16Array(halfRows * halfCols);
  for (let row = 0; row < halfRows; row += 1) {
    let above = 2 * row * cols;
    let below = above + cols;
    for (let col = 0, place = row * halfCols; col < halfCols; col += 1, place += 1, above += 2, below += 2) {
      half[place] = (pixels[above] + pixels[above + 1] + pixels[below] + pixels[below + 1] + 2) >> 2;
    }
  }
  return { pixels: half, rows: halfRows, cols: halfCols };
}
