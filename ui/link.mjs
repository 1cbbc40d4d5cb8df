/** The page's link: the example and the state of the view behind #. */

const EVERY_MS = 500;
/** Safari throws at more than 100 changes in 30 seconds, Chromium ignores what exceeds 200; the pointer makes more. */

export class PageLink {
  constructor() {
    this.pending = null;
    addEventListener("pagehide", () => this.#write());
    addEventListener("hashchange", () => this.#follow());
    document.addEventListener("glam-chosen", ({ detail }) => this.#choose(detail));
  }

  /** Show what a link says that was put in by hand, or that back or forward leads to. */
  #follow() {
    this.pending = null; // what was still to be said is of the page before
    location.reload();
  }

  /** Name an example as soon as it is chosen: a page that is loaded again while files are read asks for it again. */
  #choose(example) {
    if (this.isOf({ example })) return;
    this.say(`${new URLSearchParams({ example })}`);
    this.#write(); // what is written while a page goes is not of the page that is loaded again
  }

  /** Have the link say something, soon. */
  say(text) {
    if (this.pending === null) setTimeout(() => this.#write(), EVERY_MS);
    this.pending = text;
  }

  /** What the link says, or will. */
  get text() {
    return this.pending ?? location.hash.slice(1);
  }

  /** Whether the link is of an exam; an upload has no name that it could hold. */
  isOf({ example }) {
    return example !== null && new URLSearchParams(this.text).get("example") === example;
  }

  #write() {
    if (this.pending !== null) history.replaceState(null, "", `#${this.pending}`);
    this.pending = null;
  }
}
