/** The keys of the viewer, in a dialog. */

import { KEYS } from "./keys.mjs";

export class Help {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    dialog.querySelector("tbody").replaceChildren(...KEYS.map(rowOf));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Open it, or close it. */
  turn() {
    if (this.isOpen) this.dialog.close();
    else this.dialog.showModal();
  }
}

function rowOf({ keys, shown, does }) {
  const row = document.createElement("tr");
  const key = document.createElement("th");
  key.scope = "row";
  key.append(Object.assign(document.createElement("kbd"), { textContent: shown ?? keys[0] }));
  row.append(key, Object.assign(document.createElement("td"), { textContent: does }));
  return row;
}
