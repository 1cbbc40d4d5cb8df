/** Keys that are pressed anywhere on the page but in a form, as actions of the viewer. */

import { ALWAYS } from "./actions.mjs";
import { actionOf, isRepeatable, stepOf } from "./keys.mjs";
import { isMirrored } from "./layout.mjs";
import { entered, stepped } from "./state.mjs";

/** @param {import("./viewer.mjs").Viewer} viewer */
export function listenToKeys(viewer) {
  let reached = null; // the view that Tab led to, until a key moves the query
  document.addEventListener("keyup", ({ key, target }) => {
    if (key === "Tab") reached = viewer.shown?.find((view) => viewer.panes.get(view.key).element === target)?.key ?? null;
  });
  document.addEventListener("keydown", (event) => {
    const isHere = event.target === document.body || viewer.host.contains(event.target);
    const action = isHere && !event.target.closest("input") ? actionOf(event) : null;
    if (action === null || (!viewer.shown && !ALWAYS.includes(action))) return;
    if (event.target.closest("button") && event.key === "Enter") return; // the button's own
    event.preventDefault();
    if (event.repeat && !isRepeatable(action)) return; // a key that is held saves one file
    if (action !== "step") viewer.act(action);
    else if (reached && reached !== viewer.state.query?.key) viewer.become(entered(viewer.state, reached, viewer.exam.side));
    else step(viewer, event.key);
    if (action === "step") reached = null;
  });
}

function step(viewer, key) {
  const { state, shown, exam, views } = viewer;
  const view = views.find((one) => one.key === state.query?.key);
  const mirrored = view && !state.aligned && isMirrored(view) !== view.frame.toSquare[0] < 0;
  viewer.become(stepped(state, shown, exam.side, ...stepOf(key, mirrored)));
}
