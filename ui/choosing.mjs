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
let hasViewer = false;

/** The page's choices; it begins with the example of its link. */
function ofPage() {
  choices ??= new Choices(new URLSearchParams(location.hash.slice(1)).get("example"));
  return choices;
}

/** Listen to the page's list, before Gradio does, and leave the link to the viewer, which is there now. */
export function listenToChoices() {
  hasViewer = true;
  document.addEventListener("mousedown", (event) => ofPage().pressed(event), true);
  document.addEventListener("keydown", (event) => ofPage().typed(event), true);
}

/**
 * As `Choices.taken`, of this page, whose link names what was chosen at once: the viewer's, which the event
 * "glam-chosen" tells, or before the viewer has come the address itself.
 */
export function chosen(name) {
  const taken = ofPage().taken(name);
  if (taken && hasViewer) document.dispatchEvent(new CustomEvent("glam-chosen", { detail: taken }));
  else if (taken) history.replaceState(null, "", `#${new URLSearchParams({ example: taken })}`);
  return taken;
}
