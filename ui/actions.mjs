/** What keys and buttons do: a table from the name of an action to a change of the viewer. */

import { peakOf } from "./attention.mjs";
import { saveKept, saveSeen } from "./saving.mjs";
import { weightsFor } from "./scene.mjs";
import { followed, laidOut, pinned } from "./state.mjs";

const ZOOM = 1.25;
/** Actions that need no exam. */
export const ALWAYS = ["help", "theme", "clear"];

const turned = (name) => (viewer) => viewer.become({ ...viewer.state, [name]: !viewer.state[name] });
const hang = (layout) => (viewer) => viewer.become(laidOut(viewer.state, layout, viewer.views));
const every = (call) => (viewer) => viewer.everyPane(call);
const tool = (name) => (viewer) => viewer.take(name);
const kept = (kind) => (viewer) =>
  saveKept(viewer.exam.downloads[kind], kind).catch(() => viewer.tell("The answer cannot be fetched any more: choose the exam again."));
const seen = (kind) => (viewer) => saveSeen(kind, viewer.shownPanes(), viewer.exam, viewer.live.textContent);

function nextPreset(viewer) {
  viewer.windowAll((window, key) => {
    const { windows } = viewer.panes.get(key).view;
    const number = ((viewer.presets.get(key) ?? 0) + 1) % windows.length;
    viewer.presets.set(key, number);
    return { ...windows[number].window, inverted: window.inverted };
  });
}

export const ACTIONS = {
  exam: hang("exam"),
  right: hang("R"),
  left: hang("L"),
  align: (viewer) => {
    const { layout, query, aligned } = viewer.state;
    const breast = layout === "exam" ? (query?.key[0] ?? viewer.shown[0].laterality) : layout;
    viewer.become({ ...laidOut(viewer.state, breast, viewer.views), aligned: !aligned });
  },
  attention: turned("attentionShown"),
  truth: turned("truthShown"),
  follow: (viewer) => {
    const weights = weightsFor(viewer.exam, viewer.state.query);
    if (weights) viewer.become(followed(viewer.state, peakOf(weights)));
  },
  pin: (viewer) => viewer.become(pinned(viewer.state)),
  clear: (viewer) => viewer.clear(),
  invert: (viewer) => viewer.windowAll((window) => ({ ...window, inverted: !window.inverted })),
  preset: nextPreset,
  fit: every((pane) => pane.fit()),
  real: every((pane) => pane.real()),
  closer: every((pane) => pane.zoom(ZOOM)),
  farther: every((pane) => pane.zoom(1 / ZOOM)),
  loupe: tool("loupe"),
  ruler: tool("ruler"),
  theme: (viewer) => {
    document.body.classList.toggle("dark");
    viewer.showTools();
  },
  tour: (viewer) => viewer.tour.again(),
  json: kept("json"),
  npz: kept("npz"),
  picture: seen("png"),
  report: seen("pdf"),
  help: (viewer) => viewer.help.turn(),
};
