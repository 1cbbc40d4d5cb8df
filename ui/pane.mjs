/** One view on the page: its canvases, its place, and what the pointer does on it. */

import { peakOf } from "./attention.mjs";
import { cellAt, cellMiddle, distanceMm, inverse, moved } from "./frame.mjs";
import { listen } from "./gestures.mjs";
import { oneToOne, panned, placed, placedSquare, seen, zoomed } from "./layout.mjs";
import { drawOver, written } from "./overlay.mjs";
import { Raster } from "./raster.mjs";
import { named, scaleText } from "./words.mjs";

const RULER = "#ffd34d";
const LOUPE = { radius: 90, factor: 3 };

export class Pane {
  /**
   * @param {object} view with its key, frame and levels
   * @param {object} listener with the `side` of the grid (null: the model has no cells) and the `tools` that are taken up; told `asked`, `pinned`,
   *   `windowed`, `fitted`, `zoomed` and `pointed` by the pointer
   */
  constructor(view, listener) {
    this.view = view;
    this.listener = listener;
    this.raster = new Raster(view.levels);
    this.matrix = null;
    this.fitted = null;
    this.pointer = null;
    this.ruler = null;
    this.tools = listener.tools;
    this.table = null;
    this.windowKey = null;
    this.#build();
    this.#listen();
  }

  #build() {
    this.element = document.createElement("figure");
    this.element.className = "glam-pane";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", `${named(this.view.key)} view. ${this.listener.side === null ? "" : "Arrow keys move the query, "}? shows all keys.`);
    this.image = document.createElement("canvas");
    this.over = document.createElement("canvas");
    this.top = document.createElement("figcaption");
    this.top.textContent = this.view.key.replace("-", " ");
    this.bottom = document.createElement("span");
    this.bottom.className = "glam-readout";
    const isRight = this.view.laterality === "R";
    this.element.classList.toggle("glam-right", isRight);
    this.element.append(this.image, this.over, this.top, this.bottom);
  }

  /** Take the size that the page gives it, and fit the view into it. */
  resized(scale, aligned) {
    const { clientWidth: width, clientHeight: height } = this.element;
    this.size = { width, height };
    const ratio = globalThis.devicePixelRatio || 1;
    for (const canvas of [this.image, this.over]) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
      canvas.style.width = `${canvas.width / ratio}px`; // a pixel of it is one of the display
      canvas.style.height = `${canvas.height / ratio}px`;
    }
    this.ratio = ratio;
    this.aligned = aligned;
    this.fitted = aligned ? placedSquare(this.view, this.size) : placed(this.view, this.size, scale);
    this.matrix = this.fitted;
  }

  fit() {
    this.matrix = this.fitted;
  }

  real() {
    this.matrix = oneToOne(this.matrix, this.#middle(), this.ratio);
  }

  zoom(factor, at = this.#middle()) {
    this.matrix = zoomed(this.matrix, factor, at, this.fitted);
  }

  #middle() {
    return this.pointer ?? [this.size.width / 2, this.size.height / 2];
  }

  /** Draw the pixels in a window. */
  drawImage(table, windowKey) {
    const context = this.#context(this.image);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.size.width, this.size.height);
    this.#drawPixels(context, this.matrix, table, windowKey);
    this.zoomText = scaleText(this.matrix, this.view.spacing, this.ratio);
  }

  #drawPixels(context, matrix, table, windowKey, raster = this.raster) {
    const part = seen(this.view, matrix, this.size);
    if (part.right <= part.left || part.bottom <= part.top) return;
    const scale = Math.hypot(matrix[0], matrix[3]) * this.ratio;
    const { canvas, left, top, step } = raster.drawn(scale, part, table, windowKey);
    if (canvas === null) return;
    context.save();
    context.transform(matrix[0], matrix[3], matrix[1], matrix[4], matrix[2], matrix[5]);
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(canvas, left, top, canvas.width * step, canvas.height * step);
    context.restore();
  }

  /** Draw what lies over the pixels. */
  drawOver(scene, table, windowKey) {
    const context = this.#context(this.over);
    context.clearRect(0, 0, this.size.width, this.size.height);
    drawOver(context, { ...scene, frame: this.view.frame, matrix: this.matrix });
    if (this.ruler) this.#drawRuler(context);
    if (this.tools.loupe && this.pointer) this.#drawLoupe(context, table, windowKey);
    this.#writeReadout(scene);
  }

  #context(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    return context;
  }

  #drawLoupe(context, table, windowKey) {
    const [x, y] = this.pointer;
    const closer = zoomed(this.matrix, LOUPE.factor, this.pointer, this.fitted);
    this.loupeRaster ??= new Raster(this.view.levels);
    context.save();
    context.beginPath();
    context.arc(x, y, LOUPE.radius, 0, 2 * Math.PI);
    context.clip();
    context.fillStyle = "#000";
    context.fill();
    this.#drawPixels(context, closer, table, windowKey, this.loupeRaster);
    context.restore();
    context.strokeStyle = "#fff";
    context.beginPath();
    context.arc(x, y, LOUPE.radius, 0, 2 * Math.PI);
    context.stroke();
  }

  #drawRuler(context) {
    const [from, to] = this.ruler.map((point) => moved(this.matrix, point));
    context.save();
    for (const [style, width] of [["#000", 4], [RULER, 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
    }
    context.restore();
    written(context, [to], this.ruled(), RULER);
  }

  /** The length of the ruler, in words; null when none lies here. */
  ruled() {
    if (!this.ruler) return null;
    const mm = distanceMm(this.view.spacing, ...this.ruler);
    return mm === null ? "no spacing is known" : `${mm.toFixed(1)} mm`;
  }

  /** Window, scale, and how far the nipple is: from the pointer, and from where the model looks. */
  #writeReadout({ windowText, answer, side }) {
    const lines = [windowText, this.zoomText];
    const peak = answer && cellMiddle(this.view.frame, side, { row: peakOf(answer.weights), col: answer.col });
    const places = [["", this.pointer && this.#stored(this.pointer)], ["peak: ", peak]];
    for (const [before, place] of this.view.nipple ? places : []) {
      const mm = place && distanceMm(this.view.spacing, place, this.view.nipple);
      if (typeof mm === "number") lines.push(`${before}${mm.toFixed(0)} mm to nipple`);
    }
    this.bottom.textContent = lines.filter(Boolean).join("\n");
  }

  #stored(point) {
    return moved(inverse(this.matrix), point);
  }

  #listen() {
    listen(this.element, {
      hovered: (at, isDragged) => {
        this.pointer = at;
        if (!isDragged) this.#ask();
        this.listener.pointed();
      },
      left: () => {
        this.pointer = null;
        this.listener.pointed();
      },
      pressed: (at, isPrimary) => {
        this.pointer = at;
        if (this.tools.ruler && isPrimary) this.ruler = [this.#stored(at), this.#stored(at)];
      },
      dragged: (from, to, isWindow) => this.#dragged(from, to, isWindow),
      clicked: (at, isTouch) => {
        if (this.tools.ruler) return;
        this.#ask();
        if (!isTouch) this.listener.pinned(); // a finger asks; it does not hover
      },
      zoomed: (factor, at, [across, down]) => {
        this.zoom(factor, at);
        this.matrix = panned(this.matrix, across, down);
        this.listener.zoomed();
      },
      doubled: () => this.listener.fitted(),
    });
  }

  #dragged([fromX, fromY], [x, y], isWindow) {
    if (this.ruler && this.tools.ruler) {
      this.ruler = [this.ruler[0], this.#stored([x, y])];
    } else if (isWindow) {
      this.listener.windowed((x - fromX) / this.size.width, (y - fromY) / this.size.height);
    } else {
      this.matrix = panned(this.matrix, x - fromX, y - fromY);
      this.listener.zoomed();
    }
  }

  #ask() {
    const cell = cellAt(this.view.frame, this.listener.side, this.#stored(this.pointer));
    this.listener.asked(cell);
  }
}
