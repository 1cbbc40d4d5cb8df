/** Four steps that show a newcomer the page, until they are dismissed; remembered for the page alone. */

export const STEPS = [
  { at: ".glam-panes", says: "Move the pointer over a breast. The blue cell is the place you ask about; the dashed band in the other view is its slice: the same distance from the chest wall." },
  { at: ".glam-strip", says: "The colours along the slice, and these bars, say where the model looks for it. Red is the most. When the bars are nearly even, it points at nothing." },
  { at: '[data-action="align"]', says: "Slices upright shows both views as the model sees them: chest wall left, nipple right, so that one can see why the slice is the slice." },
  { at: '[data-action="help"]', says: "Everything has a key: ? lists them. Arrow keys move the cell, Enter pins it, drag with Shift for the window." },
];

/** The steps of a model that does not compare views. */
export const STEPS_WITHOUT_CELLS = [
  { at: ".glam-panes", says: "This model does not compare views, and there is no map of where it looks. What it says of the breasts stands beside them." },
  { at: '[data-action="align"]', says: "Slices upright shows both views as the model sees them: chest wall left, nipple right." },
  { at: '[data-action="help"]', says: "Everything has a key: ? lists them. Drag with Shift for the window." },
];

export class Tour {
  /** @param {HTMLElement} host the viewer */
  constructor(host) {
    this.host = host;
    this.steps = STEPS;
    this.step = null;
    this.isOver = false;
    this.box = host.querySelector(".glam-tour");
    this.text = this.box.querySelector("p");
    this.next = this.box.querySelector('[data-tour="next"]');
    this.next.addEventListener("click", () => this.#go(this.step + 1));
    this.box.querySelector('[data-tour="end"]').addEventListener("click", () => this.end());
  }

  /** Begin, unless it was seen on this page; the steps are those of a model that compares views, or does not. */
  begin(compares) {
    this.steps = compares ? STEPS : STEPS_WITHOUT_CELLS;
    if (!this.isOver && this.step === null) this.#go(0);
  }

  again() {
    this.#go(0);
  }

  /** End it; whether there was one to end. */
  end() {
    if (this.step === null) return false;
    this.#mark(null);
    this.step = null;
    this.isOver = true;
    this.box.hidden = true;
    return true;
  }

  #go(step) {
    if (step >= this.steps.length) {
      this.end();
      return;
    }
    this.step = step;
    this.box.hidden = false;
    const { at, says } = this.steps[step];
    this.text.textContent = `${step + 1} of ${this.steps.length}. ${says}`;
    this.next.textContent = step + 1 < this.steps.length ? "Next" : "Done";
    this.#mark(this.host.querySelector(at));
  }

  #mark(element) {
    this.host.querySelector(".glam-marked")?.classList.remove("glam-marked");
    element?.classList.add("glam-marked");
  }
}
