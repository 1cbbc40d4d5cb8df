/** What is drawn over a view: the query, its slice, where the model looks, pins and findings' places. After Figure 3 of the paper. */

import { peakOf, spreadOf } from "./attention.mjs";
import { cellPolygon, composed, moved, slicePolygon, stepsOf } from "./frame.mjs";
import { composedMap, strengths } from "./heat.mjs";

const QUERY = "#4da3ff";
const PEAK = "#ff4d4d";
const TRUTH = "#ffffff";
const PIN = "#ffd34d";
const HALO = "rgba(0, 0, 0, 0.75)";
/** Of the heat: black, purple, red, orange, yellow; no part of it is as dark as air or as white as a calcification. */
const HEAT = [[40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39]];

/** The colour of a strength from 0 to 1, [red, green, blue]. */
export function heatColour(strength) {
  const place = Math.min(Math.max(strength, 0), 1) * (HEAT.length - 1);
  const before = HEAT[Math.floor(place)];
  const after = HEAT[Math.ceil(place)];
  return before.map((value, channel) => Math.round(value + (after[channel] - value) * (place % 1)));
}

/**
 * Draw over one pane.
 * @param {CanvasRenderingContext2D} context whose unit is a screen pixel
 * @param {object} scene
 * @param {object} scene.frame of the view
 * @param {number} scene.side of the grid
 * @param {import("./frame.mjs").Affine} scene.matrix stored pixels to the pane
 * @param {{row: number, col: number} | null} scene.query the cell that is asked about, when it is of this view
 * @param {{col: number, weights: number[], pooling: Float32Array} | null} scene.answer where the model looks, when the query
 *   is of the other view
 * @param {{row: number, col: number}[]} scene.pins
 * @param {{boxes: number[][], places: [number, number][]} | null} scene.truth findings of this view, and the true places of
 *   what lies in the query's cell of the other view, in stored pixels
 * @param {number} scene.opacity
 * @param {number} scene.threshold weaker patches are not coloured
 */
export function drawOver(context, scene) {
  const path = (points) => traced(context, scene.matrix, points);
  const cell = (place) => cellPolygon(scene.frame, scene.side, place);
  for (const pin of scene.pins) stroked(context, () => path(cell(pin)), PIN, 1.5);
  if (scene.query) {
    stroked(context, () => path(slicePolygon(scene.frame, scene.side, scene.query.col)), QUERY, 1, [5, 5]);
    stroked(context, () => path(cell(scene.query)), QUERY, 2.5);
    labelled(context, scene, scene.query, `row ${scene.query.row + 1}, slice ${scene.query.col + 1}`, QUERY);
  }
  if (scene.answer) drawAnswer(context, scene, path, cell);
  if (scene.truth) drawTruth(context, scene);
}

function drawTruth(context, { matrix, truth }) {
  for (const [left, top, right, bottom] of truth.boxes) {
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    stroked(context, () => traced(context, matrix, corners), TRUTH, 1.5);
  }
  for (const place of truth.places) dotted(context, moved(matrix, place));
}

function drawAnswer(context, scene, path, cell) {
  const { col, weights } = scene.answer;
  const peak = { row: peakOf(weights), col };
  drawHeat(context, scene);
  stroked(context, () => path(slicePolygon(scene.frame, scene.side, col)), QUERY, 1, [5, 5]);
  stroked(context, () => path(cell(peak)), PEAK, 2.5);
  const even = spreadOf(weights) > 0.95 ? ", nearly even" : "";
  labelled(context, scene, peak, `${Math.round(100 * weights[peak.row])} %${even}`, PEAK);
}

/** The composed map in colours that run smoothly from the middle of each patch to the next, within the stored image. */
function drawHeat(context, { frame, matrix, opacity, threshold, answer }) {
  const map = strengths(composedMap(answer.weights, answer.col, answer.pooling), answer.weights);
  const patches = Math.sqrt(map.length);
  const [across, down] = stepsOf(frame, patches);
  const [a, b, c, d, e, f] = composed(composed([across, 0, 0, 0, down, 0], frame.toPixels), matrix); // patches to the pane
  context.save();
  traced(context, matrix, [[0, 0], [frame.cols, 0], [frame.cols, frame.rows], [0, frame.rows]]);
  context.clip();
  context.transform(a, d, b, e, c, f);
  context.drawImage(heatImage(map, patches, opacity, threshold), 0, 0);
  context.restore();
}

function heatImage(map, patches, opacity, threshold) {
  const rgba = new Uint8ClampedArray(4 * map.length);
  map.forEach((strength, patch) => {
    const alpha = strength >= threshold ? opacity * Math.min(1, 1.5 * strength) : 0;
    rgba.set([...heatColour(strength), 255 * alpha], 4 * patch);
  });
  const image = new OffscreenCanvas(patches, patches);
  image.getContext("2d").putImageData(new ImageData(rgba, patches, patches), 0, 0);
  return image;
}

function traced(context, matrix, points) {
  context.beginPath();
  points.map((point) => moved(matrix, point)).forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

/** A line with a dark one under it, so that it is seen on white and on black. */
function stroked(context, trace, colour, width, dash = []) {
  context.save();
  context.setLineDash(dash);
  context.lineJoin = "round";
  for (const [style, wide] of [[HALO, width + 2], [colour, width]]) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    trace();
    context.stroke();
  }
  context.restore();
}

/** Words beside a cell: on its right, else on its left, else above it; never beyond the pane. */
function labelled(context, { frame, side, matrix }, cell, text, colour) {
  written(context, cellPolygon(frame, side, cell).map((point) => moved(matrix, point)), text, colour);
}

/** Words with a dark edge, beside the corners of something, in screen pixels. */
export function written(context, corners, text, colour) {
  context.save();
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  const { left, top } = labelPlace(corners, context.measureText(text).width, context.canvas.clientWidth);
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = HALO;
  context.strokeText(text, left, top);
  context.fillStyle = colour;
  context.fillText(text, left, top);
  context.restore();
}

/**
 * Where words begin, and the middle of their line.
 * @param {[number, number][]} corners of what they are beside
 * @param {number} width of the words
 * @param {number} room the pane's width
 */
export function labelPlace(corners, width, room) {
  const gap = 6;
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  const middle = ys.reduce((sum, y) => sum + y, 0) / ys.length;
  const right = Math.max(...xs) + gap;
  const left = Math.min(...xs) - gap - width;
  if (right + width < room) return { left: right, top: middle };
  if (left > 0) return { left, top: middle };
  const centre = (Math.max(...xs) + Math.min(...xs) - width) / 2;
  return { left: Math.max(2, Math.min(centre, room - width - 2)), top: Math.min(...ys) - 2 * gap };
}

/** A dot at a point of the pane. */
function dotted(context, [x, y]) {
  context.save();
  context.beginPath();
  context.arc(x, y, 3, 0, 2 * Math.PI);
  context.fillStyle = TRUTH;
  context.strokeStyle = HALO;
  context.lineWidth = 2;
  context.stroke();
  context.fill();
  context.restore();
}
