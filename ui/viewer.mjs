/** The viewer: an exam's views on black, and where the model looks for the cell under the pointer. Mounted by `layout.py`. */

import { ACTIONS, ALWAYS } from "./actions.mjs";
import { listenToChoices } from "./choosing.mjs";
import { Help } from "./help.mjs";
import { listenToKeys } from "./keyboard.mjs";
import { columnsOf, commonScale, hung } from "./layout.mjs";
import { PageLink } from "./link.mjs";
import { poolings, withPixels } from "./loading.mjs";
import { Pane } from "./pane.mjs";
import { preview } from "./preview.mjs";
import { sceneOf, weightsFor } from "./scene.mjs";
import { asLink, asked, begun, cleared, fromLink, pinned, sameQuery } from "./state.mjs";
import { drawStrip } from "./strip.mjs";
import { toolbar } from "./toolbar.mjs";
import { Tour } from "./tour.mjs";
import { dragged, tableOf, windowText } from "./window.mjs";
import { said } from "./words.mjs";

/**
 * Put a viewer into an element of the page.
 * @param {HTMLElement} element
 * @param {{value: () => object | null, onChange: (call: () => void) => void}} source of the exam that is shown
 */
export function mount(element, source) {
  const viewer = new Viewer(element);
  listenToChoices();
  const show = () => viewer.show(source.value());
  source.onChange(show);
  show();
  return viewer;
}

export class Viewer {
  constructor(element) {
    this.exam = null;
    this.dirty = { image: false, over: false };
    this.tools = { loupe: false, ruler: false };
    this.link = new PageLink();
    this.#build(element);
    this.#forget();
  }

  #build(element) {
    const host = element.querySelector(".glam-viewer");
    this.host = host;
    this.bar = toolbar(host.querySelector(".glam-toolbar"), (action) => this.act(action), (name, value) => this.become({ ...this.state, [name]: value }));
    this.stage = host.querySelector(".glam-panes");
    this.strip = host.querySelector(".glam-strip");
    this.live = host.querySelector(".glam-live");
    this.note = host.querySelector(".glam-note");
    this.invitation = this.note.textContent;
    this.tour = new Tour(host);
    this.help = new Help(host.querySelector(".glam-help"));
    listenToKeys(this);
    new ResizeObserver(() => this.#layOut()).observe(this.stage);
  }

  /** Show an exam, or none. */
  async show(exam) {
    if (exam?.id === this.exam?.id) return;
    const isSeen = this.exam?.preview && exam && !exam.preview; // the same exam, small, until its pixels are here
    this.exam = exam;
    this.#forget();
    this.host.classList.toggle("glam-empty", !exam || Boolean(exam.preview));
    this.host.classList.toggle("glam-waits", Boolean(exam?.preview));
    if (!isSeen) this.stage.replaceChildren();
    if (exam?.preview) await this.#preview(exam);
    else if (exam) await this.#open(exam);
    else this.tell(this.invitation);
  }

  /** Forget what was shown; nothing acts on views until there are some. */
  #forget() {
    this.state = null;
    this.shown = null;
    this.views = [];
    this.pooling = {};
    this.panes = new Map();
    this.presets = new Map();
    this.live.textContent = "";
    drawStrip(this.strip, null);
  }

  /** Say something of the page itself. */
  tell(text) {
    this.note.textContent = text;
  }

  async #preview(exam) {
    this.tell("The model is looking …");
    await preview(this.stage, exam.views, () => exam === this.exam).catch(() => exam === this.exam && this.tell(""));
  }

  async #open(exam) {
    let done = 0;
    const tell = () => exam === this.exam && this.tell(`Reading pixels: ${done++} of ${exam.views.length} …`);
    tell();
    const views = exam.views.map((view) => withPixels(view).finally(tell));
    const [pooling, ...read] = await Promise.allSettled([poolings(exam.breasts), ...views]);
    if (exam !== this.exam) return; // another one came meanwhile
    if ([pooling, ...read].some(({ status }) => status === "rejected")) {
      this.#lost();
      return;
    }
    this.pooling = pooling.value;
    this.views = read.map(({ value }) => value);
    this.tell(exam.notice);
    this.state = begun(this.views);
    if (this.link.isOf(exam)) this.state = fromLink(this.link.text, this.state, this.views, exam.side);
    this.link.say(asLink(this.state, exam.example));
    this.tour.begin(this.exam.side !== null);
    for (const view of this.views) this.panes.set(view.key, this.#paneOf(view));
    this.#layOut();
    this.host.dispatchEvent(new CustomEvent("glam-shown"));
  }

  #lost() {
    this.host.classList.add("glam-empty");
    this.stage.replaceChildren();
    this.tell("The pixels cannot be fetched any more: choose the exam again.");
  }

  #paneOf(view) {
    return new Pane(view, {
      side: this.exam.side,
      tools: this.tools,
      asked: (cell) => this.#ask(cell && { key: view.key, cell }),
      pinned: () => this.become(pinned(this.state)),
      windowed: (right, down) => this.#window(view.key, dragged(this.#windowOf(view.key), right, down)),
      fitted: () => this.act("fit"),
      zoomed: () => this.#redraw(),
      pointed: () => this.#redraw({ image: false }),
    });
  }

  #windowOf(key) {
    return this.state.windows[key] ?? this.panes.get(key).view.windows[0].window;
  }

  #window(key, window) {
    this.become({ ...this.state, windows: { ...this.state.windows, [key]: window } }, { image: true });
  }

  #ask(query) {
    if (query === null || sameQuery(query, this.state.query)) return;
    this.become(asked(this.state, query));
  }

  /** Take a new state, show it, and put it into the page's link. */
  become(state, { image = false } = {}) {
    const relaid = state.layout !== this.state.layout || state.aligned !== this.state.aligned;
    this.state = state;
    this.link.say(asLink(state, this.exam.example));
    if (relaid) this.#layOut();
    else this.#redraw({ image });
    this.showTools();
  }

  /** Show in the toolbar what is on, and what there is. */
  showTools() {
    this.bar.shows(this.state, this.tools, this.exam, this.views);
  }

  #layOut() {
    if (!this.state || this.panes.size === 0) return;
    const shown = hung([...this.views], this.state.layout);
    const elements = shown.map((view) => this.panes.get(view.key).element);
    const focused = this.stage.contains(document.activeElement) ? document.activeElement : null;
    this.stage.style.setProperty("--glam-columns", columnsOf(shown, this.state.aligned));
    this.stage.replaceChildren(...elements);
    if (focused) (elements.includes(focused) ? focused : elements[0]).focus({ preventScroll: true }); // it went with its pane
    const sizes = elements.map(({ clientWidth: width, clientHeight: height }) => ({ width, height }));
    const scale = commonScale(shown, sizes);
    for (const view of shown) this.panes.get(view.key).resized(scale, this.state.aligned);
    this.shown = shown;
    this.showTools();
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
      if (pane.windowKey !== windowKey) pane.table = tableOf(window, pane.table ?? undefined);
      if (image || pane.windowKey !== windowKey) pane.drawImage(pane.table, windowKey);
      pane.windowKey = windowKey;
      const scene = sceneOf(this.exam, this.state, key, this.panes, this.pooling);
      pane.drawOver({ ...scene, windowText: windowText(window, pane.view.windows) }, pane.table, windowKey);
    }
    this.#say();
  }

  #say() {
    const weights = weightsFor(this.exam, this.state.query);
    const ruled = this.shownPanes().map((pane) => pane.ruled()).find(Boolean);
    const text = said(this.state, weights, ruled, this.exam.side);
    if (this.live.textContent !== text) this.live.textContent = text;
    drawStrip(this.strip, weights);
  }

  /** Do what a key or a button says. */
  act(action) {
    if (this.shown || ALWAYS.includes(action)) ACTIONS[action](this);
  }

  /** The panes that are seen, as they hang. */
  shownPanes() {
    return this.shown.map(({ key }) => this.panes.get(key));
  }

  everyPane(call) {
    this.shownPanes().forEach(call);
    this.#redraw();
  }

  /** Take a tool up, or put it down. */
  take(name) {
    this.tools[name] = !this.tools[name];
    for (const pane of this.panes.values()) pane.ruler = null;
    this.showTools();
    this.#redraw({ image: false });
  }

  clear() {
    if (this.help.isOpen) this.help.turn();
    else if (!this.tour.end() && this.state) {
      for (const pane of this.panes.values()) pane.ruler = null;
      this.become(cleared(this.state));
    }
  }

  windowAll(changed) {
    const windows = Object.fromEntries(this.shown.map(({ key }) => [key, changed(this.#windowOf(key), key)]));
    this.become({ ...this.state, windows: { ...this.state.windows, ...windows } }, { image: true });
  }
}
