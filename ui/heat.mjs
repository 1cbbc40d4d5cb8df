/** The map of where the model looks: the weights of a slice, composed with how its cells gather from patches. */

import { spreadOf } from "./attention.mjs";

/** Numbers from 0 of 16 bits (IEEE 754 binary16, low byte first), as the server sends weights. */
export function halves(buffer) {
  const bits = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 2 }, (_, place) => half(bits.getUint16(2 * place, true)));
}

function half(bits) {
  const exponent = bits >> 10;
  const fraction = (bits & 1023) / 1024;
  return exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
}

/**
 * The weights of a slice over the patches of its view, row by row; they add up to what `weights` do. As
 * `glam.attention.compose_map`.
 * @param {number[]} weights of the slice's cells, by row
 * @param {number} col of the slice
 * @param {Float32Array} pooling of the view: the patches of each cell, cells row by row
 */
export function composedMap(weights, col, pooling) {
  const side = weights.length;
  const patches = pooling.length / side ** 2;
  const map = new Float32Array(patches);
  weights.forEach((weight, row) => {
    const first = (row * side + col) * patches;
    for (let patch = 0; patch < patches; patch += 1) map[patch] += weight * pooling[first + patch];
  });
  return map;
}

/**
 * How strongly each patch is coloured, 0 to 1: relative to the peak, and all of it faint where the slice's weights are
 * nearly even, so that evenness does not look like a finding.
 */
export function strengths(map, weights) {
  const peak = map.reduce((most, weight) => Math.max(most, weight), 0);
  const most = 1 - spreadOf(weights) ** 4;
  return map.map((weight) => (peak > 0 ? (weight / peak) * most : 0));
}
