/** The viewer: an exam's views on black, and where the model looks for the cell under the pointer. Mounted by `layout.py`. */

import { heatOf, peakOf, spreadOf, weightsOf } from "./attention.mjs";
import { pyramid, unpacked } from "./decode.mjs";
import { frameOf } from "./frame.mjs";
import { KEYS, actionOf, stepOf } from "./keys.mjs";
import { boxOf, columnsOf, commonScale, hung, isMirrored, keyOf } from "./layout.mjs";
import { heatColour } from "./overlay.mjs";
import { Pane } from "./pane.mjs";
import { preview } from "./preview.mjs";
import { composed, pdfOf } from "./report.mjs";
import { asLink, asked, begun, cleared, followed, fromLink, laidOut, otherKey, pinned, stepped } from "./state.mjs";
import { toolbar } from "./toolbar.mjs";
import { Tour } from "./tour.mjs";
import { truePlaces } from "./truth.mjs";
import { dragged, tableOf, windowOf, windowText } from "./window.mjs";
import { sentence } from "./words.mjs";

const ZOOM = 1.25;
const SAMPLES = 200_000;
/** Pixels by which the first window is chosen. */

/**
 * Put a viewer into an element of the page.
 * @param {HTMLElement} element
 * @param {{value: () => object | null, onChange: (call: () => void) => void}} source of the exam that is shown
 */
export function mount(element, source) {
  const viewer = new Viewer(element);
  const show = () => viewer.show(source.value());
  source.onChange(show);
  show();
  return viewer;
}

export class Viewer {
  constructor(element) {
    this.panes = new Map();
    this.exam = null;
    this.state = null;
    this.presets = new Map();
    this.dirty = { image: false, over: false };
    this.tools = { loupe: false, ruler: false };
    this.#build(element);
  }

  #build(element) {
    const host = element.querySelector(".glam-viewer");
    this.host = host;
    this.tools.bar = toolbar(host.querySelector(".glam-toolbar"), (action) => this.act(action), (name, value) => this.#set(name, value));
    this.stage = host.querySelector(".glam-panes");
    this.strip = host.querySelector(".glam-strip");
    this.live = host.querySelector(".glam-live");
    this.note = host.querySelector(".glam-note");
    this.tour = new Tour(host);
    this.help = host.querySelector(".glam-help");
    this.help.querySelector("tbody").replaceChildren(...KEYS.map(helpRow));
    document.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#layOut()).observe(this.stage);
  }

  /** Show an exam, or none. */
  async show(exam) {
    if (exam?.id === this.exam?.id) return;
    const isSeen = this.exam?.preview && exam && !exam.preview; // the same exam, small, until its pixels are here
    this.exam = exam;
    this.shown = null;
    this.panes.clear();
    this.host.classList.toggle("glam-empty", !exam || Boolean(exam.preview));
    this.host.classList.toggle("glam-waits", Boolean(exam?.preview));
    if (!isSeen) this.stage.replaceChildren();
    if (exam?.preview) await this.#preview(exam);
    else if (exam) await this.#open(exam);
  }

  async #preview(exam) {
    this.note.textContent = "The model is looking …";
    await preview(this.stage, exam.views, () => exam === this.exam).catch(() => (this.note.textContent = ""));
  }

  async #open(exam) {
    let done = 0;
    const tell = () => (this.note.textContent = `Reading pixels: ${done++} of ${exam.views.length} …`);
    tell();
    try {
      this.views = await Promise.all(exam.views.map((view) => withPixels(view).finally(tell)));
    } catch {
      this.note.textContent = "The pixels are gone from the server: upload the files again.";
      return;
    }
    if (exam !== this.exam) return; // another one came meanwhile
    this.note.textContent = exam.notice;
    this.state = begun(this.views);
    if (isOfLink(exam)) this.state = fromLink(location.hash.slice(1), this.state, this.views, exam.side);
    this.tour.begin();
    for (const view of this.views) this.#addPane(view);
    this.#layOut();
    this.host.dispatchEvent(new CustomEvent("glam-shown"));
  }

  #addPane(view) {
    const pane = new Pane(view, {
      side: this.exam.side,
      asked: (cell) => this.#ask(cell && { key: view.key, cell }),
      pinned: () => this.#become(pinned(this.state)),
      windowed: (right, down) => this.#window(view.key, dragged(this.#windowOf(view.key), right, down)),
      fitted: () => this.act("fit"),
      zoomed: () => this.#redraw(),
      pointed: () => this.#redraw({ image: false }),
    });
    pane.table = null;
    pane.tools = this.tools;
    this.panes.set(view.key, pane);
  }

  #windowOf(key) {
    return this.state.windows[key] ?? this.panes.get(key).view.windows[0].window;
  }

  #window(key, window) {
    this.#become({ ...this.state, windows: { ...this.state.windows, [key]: window } }, { image: true });
  }

  #ask(query) {
    if (query === null || sameQuery(query, this.state.query)) return;
    this.#become(asked(this.state, query));
  }

  /** Take a new state, show it, and put it into the page's link. */
  #become(state, { image = false } = {}) {
    const relaid = state.layout !== this.state.layout || state.aligned !== this.state.aligned;
    this.state = state;
    history.replaceState(null, "", `#${asLink(state, this.exam.example)}`);
    if (relaid) this.#layOut();
    else this.#redraw({ image });
    this.tools.bar.shows(state, this.tools);
  }

  #set(name, value) {
    this.#become({ ...this.state, [name]: value });
  }

  #layOut() {
    if (!this.state || this.panes.size === 0) return;
    const shown = hung([...this.views], this.state.layout);
    const elements = shown.map((view) => this.panes.get(view.key).element);
    this.stage.style.setProperty("--glam-columns", columnsOf(shown, this.state.aligned));
    this.stage.replaceChildren(...elements);
    const sizes = elements.map(({ clientWidth: width, clientHeight: height }) => ({ width, height }));
    const scale = commonScale(shown, sizes);
    for (const view of shown) this.panes.get(view.key).resized(scale, this.state.aligned);
    this.shown = shown;
    this.tools.bar.shows(this.state, this.tools);
    this.#redraw();
  }

  #redraw({ image = true } = {}) {
    const isWaiting = this.dirty.image || this.dirty.over;
    this.dirty.image ||= image;
    this.dirty.over = true;
    if (!isWaiting) requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const { image } = this.dirty;
    this.dirty = { image: false, over: false };
    if (!this.shown) return;
    for (const { key } of this.shown) {
      const pane = this.panes.get(key);
      const window = this.#windowOf(key);
      const windowKey = `${window.centre} ${window.width} ${window.inverted}`;
      if (pane.windowKey !== windowKey) {
        pane.table = tableOf(window, pane.table ?? undefined);
        pane.windowKey = windowKey;
      }
      if (image || pane.drawnKey !== windowKey) pane.drawImage(pane.table, windowKey);
      pane.drawnKey = windowKey;
      pane.drawOver(this.#scene(key, window), pane.table, windowKey);
    }
    this.#tell();
  }

  #scene(key, window) {
    const { query, pins, opacity, threshold, attentionShown } = this.state;
    const weights = this.#weights();
    return {
      side: this.exam.side,
      query: query?.key === key ? query.cell : null,
      answer: attentionShown && weights && otherKey(query.key) === key ? { col: query.cell.col, weights } : null,
      pins: pins.filter((pin) => pin.key === key).map((pin) => pin.cell),
      truth: this.state.truthShown ? this.#truth(key) : null,
      opacity,
      threshold,
      windowText: windowText(window, this.panes.get(key).view.windows),
    };
  }

  /** What is truly in a view; null where nobody knows. */
  #truth(key) {
    const truth = this.exam.breasts[key[0]]?.truth;
    if (!truth) return null;
    const { query } = this.state;
    const isOther = query && otherKey(query.key) === key;
    const name = (of) => of.slice(2).toLowerCase();
    const frame = isOther && this.panes.get(query.key).view.frame;
    const places = isOther ? truePlaces(truth, frame, this.exam.side, name(query.key), query.cell) : [];
    return { boxes: truth.boxes[name(key)] ?? [], places };
  }

  /** The weights of the query over the rows of the other view; null when there is no query, or no other view. */
  #weights() {
    const query = this.state?.query;
    const attention = query && this.exam.breasts[query.key[0]]?.attention;
    return attention ? weightsOf(attention, query.key.slice(2).toLowerCase(), query.cell) : null;
  }

  #tell() {
    const { query } = this.state;
    const weights = this.#weights();
    const ruled = this.shown.map(({ key }) => this.panes.get(key).ruled()).find(Boolean);
    const asked = sentence(query, weights, query ? otherKey(query.key) : "");
    const text = ruled ? `${asked} Ruler: ${ruled}.` : asked;
    if (this.live.textContent !== text) this.live.textContent = text;
    drawStrip(this.strip, weights);
  }

  #key(event) {
    const isHere = event.target === document.body || this.host.contains(event.target);
    const action = isHere && !event.target.closest("input") ? actionOf(event) : null;
    if (action === null || (!this.state && !["help", "theme", "clear"].includes(action))) return;
    if (event.target.closest("button") && event.key === "Enter") return; // the button's own
    event.preventDefault();
    if (action === "step") this.#step(event.key);
    else this.act(action);
  }

  #step(key) {
    const view = this.views.find((one) => one.key === this.state.query?.key);
    const mirrored = view && !this.state.aligned && (isMirrored(view) !== view.frame.toSquare[0] < 0);
    this.#become(stepped(this.state, this.shown, this.exam.side, ...stepOf(key, mirrored)));
  }

  /** Do what a key or a button says. */
  act(action) {
    const every = (call) => {
      for (const { key } of this.shown) call(this.panes.get(key));
      this.#redraw();
    };
    const weights = this.#weights();
    const tool = (name) => {
      this.tools[name] = !this.tools[name];
      for (const pane of this.panes.values()) pane.ruler = null;
      this.tools.bar.shows(this.state, this.tools);
      this.#redraw({ image: false });
    };
    const actions = {
      exam: () => this.#become(laidOut(this.state, "exam")),
      right: () => this.#become(laidOut(this.state, "R")),
      left: () => this.#become(laidOut(this.state, "L")),
      align: () => this.#become({ ...laidOut(this.state, this.state.layout === "exam" ? (this.state.query?.key[0] ?? this.shown[0].laterality) : this.state.layout), aligned: !this.state.aligned }),
      attention: () => this.#become({ ...this.state, attentionShown: !this.state.attentionShown }),
      truth: () => this.#become({ ...this.state, truthShown: !this.state.truthShown }),
      follow: () => weights && this.#become(followed(this.state, peakOf(weights))),
      pin: () => this.#become(pinned(this.state)),
      clear: () => this.#clear(),
      invert: () => this.#windows((window) => ({ ...window, inverted: !window.inverted })),
      preset: () => this.#nextPreset(),
      fit: () => every((pane) => pane.fit()),
      real: () => every((pane) => pane.real()),
      closer: () => every((pane) => pane.zoom(ZOOM)),
      farther: () => every((pane) => pane.zoom(1 / ZOOM)),
      loupe: () => tool("loupe"),
      ruler: () => tool("ruler"),
      theme: () => {
        document.body.classList.toggle("dark");
        this.tools.bar.shows(this.state, this.tools);
      },
      tour: () => this.tour.again(),
      json: () => this.#fetch("json"),
      npz: () => this.#fetch("npz"),
      picture: () => this.#save("png"),
      report: () => this.#save("pdf"),
      help: () => (this.help.open ? this.help.close() : this.help.showModal()),
    };
    actions[action]();
  }

  #clear() {
    if (this.help.open) this.help.close();
    else if (!this.tour.end() && this.state) this.#become(cleared(this.state));
  }

  /** Save what the server said; the browser takes the name from the answer. */
  async #fetch(kind) {
    const answer = await fetch(new URL(this.exam.downloads[kind], document.baseURI));
    if (!answer.ok) {
      this.note.textContent = "The answer is gone from the server: show the exam again.";
      return;
    }
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1] ?? `glam.${kind}`;
    saved(await answer.blob(), name);
  }

  /** Save what is seen; the name of the file is of the views, never of a patient. */
  async #save(kind) {
    const panes = this.shown.map(({ key }) => this.panes.get(key));
    const canvas = composed(panes, `${this.exam.notice}. ${this.exam.words[0]}`);
    const name = `glam-${this.shown.map(({ key }) => key).join("-")}.${kind}`;
    if (kind === "png") return saved(await canvas.convertToBlob({ type: "image/png" }), name);
    const jpeg = new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 })).arrayBuffer());
    const lines = [this.live.textContent, ...this.exam.words];
    const pdf = pdfOf({ title: `GLAM viewer: ${this.exam.notice}`, jpeg, width: canvas.width, height: canvas.height, lines });
    return saved(new Blob([pdf], { type: "application/pdf" }), name);
  }

  #windows(changed) {
    const windows = Object.fromEntries(this.shown.map(({ key }) => [key, changed(this.#windowOf(key), key)]));
    this.#become({ ...this.state, windows: { ...this.state.windows, ...windows } }, { image: true });
  }

  #nextPreset() {
    this.#windows((window, key) => {
      const { windows } = this.panes.get(key).view;
      const number = ((this.presets.get(key) ?? 0) + 1) % windows.length;
      this.presets.set(key, number);
      return { ...windows[number].window, inverted: window.inverted };
    });
  }
}

/** Whether the page's link is of this exam; an upload has no name that a link could hold. */
const isOfLink = ({ example }) => example !== null && new URLSearchParams(location.hash.slice(1)).get("example") === example;

function saved(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const sameQuery = (one, other) => one?.key === other?.key && one?.cell.row === other?.cell.row && one?.cell.col === other?.cell.col;

async function withPixels(view) {
  const answer = await fetch(new URL(view.pixels, document.baseURI));
  if (!answer.ok) throw new Error(`${answer.status}`);
  const pixels = await unpacked(answer.body, view.rows, view.cols);
  const levels = pyramid({ pixels, rows: view.rows, cols: view.cols });
  const breast = windowOf(pixels, { step: Math.max(1, Math.floor(pixels.length / SAMPLES)), above: 0 });
  const windows = [
    { name: "as the model", window: { centre: 32768, width: 65536, inverted: false } },
    { name: "breast", window: breast },
    { name: "dense tissue", window: { centre: breast.centre + breast.width / 4, width: breast.width / 2, inverted: false } },
  ];
  const smallest = levels.length - 1;
  const box = boxOf(levels[smallest], 2 ** smallest, view);
  return { ...view, key: keyOf(view), frame: frameOf(view.frame), levels, windows, box };
}

function helpRow({ keys, shown, does }) {
  const row = document.createElement("tr");
  const key = document.createElement("th");
  key.scope = "row";
  key.append(Object.assign(document.createElement("kbd"), { textContent: shown ?? keys[0] }));
  row.append(key, Object.assign(document.createElement("td"), { textContent: does }));
  return row;
}

/** The weights as bars, a row of the grid each, with how even they are. */
function drawStrip(strip, weights) {
  const bars = strip.querySelector(".glam-bars");
  const text = strip.querySelector(".glam-spread");
  if (!weights) {
    bars.replaceChildren();
    text.textContent = "";
    return;
  }
  const heat = heatOf(weights);
  bars.replaceChildren(
    ...weights.map((weight, row) => {
      const bar = document.createElement("i");
      bar.style.height = `${Math.max(2, 100 * weight)}%`;
      bar.style.background = `rgb(${heatColour(heat[row]).join(" ")})`;
      bar.title = `row ${row + 1}: ${(100 * weight).toFixed(1)} %`;
      return bar;
    }),
  );
  text.textContent = `entropy ${Math.round(100 * spreadOf(weights))} % of even`;
}
