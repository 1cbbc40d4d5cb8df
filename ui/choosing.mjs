/** Choices in the list of examples. Gradio's list says "input" twice for a choice, and again whenever it is left. */

const LIST = "#glam-example";

/** What is a reader's choice: another name, or the same one by a press on an option or Enter. Each is told once. */
export class Choices {
  /** @param {string | null} last the example that the page begins with */
  constructor(last) {
    this.last = last;
    this.isAgain = false;
  }

  pressed({ target }) {
    if (target.closest(`${LIST} [role="option"]`)) this.isAgain = true;
  }

  typed({ key, target }) {
    if (key === "Enter" && target.closest(LIST)) this.isAgain = true;
  }

  /** The name that the list says if it was just chosen; null where the list was only left. */
  taken(name) {
    const isChosen = this.isAgain || name !== this.last;
    this.isAgain = false;
    this.last = name;
    return isChosen ? name : null;
  }
}

let choices = null;

/** Listen to the page's list, before Gradio does. */
export function listenToChoices() {
  choices ??= new Choices(new URLSearchParams(location.hash.slice(1)).get("example"));
  document.addEventListener("mousedown", (event) => choices.pressed(event), true);
  document.addEventListener("keydown", (event) => choices.typed(event), true);
}

/** As `Choices.taken`, of this page, whose link is told of a choice by the event "glam-chosen". */
export function chosen(name) {
  const taken = choices ? choices.taken(name) : name;
  if (taken) document.dispatchEvent(new CustomEvent("glam-chosen", { detail: taken }));
  return taken;
}
