/** Buttons of the viewer: real buttons, pressed where what they name is on. */

/** Each with its name, which is said aloud. */
const GROUPS = [
  ["Views", ["exam", "All views"], ["right", "Right"], ["left", "Left"], ["align", "Slices upright"]],
  ["Overlay", ["attention", "Attention"], ["truth", "True place"]],
  ["Image", ["preset", "Window"], ["invert", "Invert"], ["fit", "Fit"], ["real", "1:1"], ["loupe", "Loupe"], ["ruler", "Ruler"]],
  ["Pins", ["pin", "Pin"], ["clear", "Clear"]],
  ["Save", ["picture", "PNG"], ["report", "PDF"], ["json", "JSON"], ["npz", "npz"]],
  ["Page", ["theme", "Dark"], ["tour", "Tour"], ["help", "Keys"]],
];
/** What a button does that its label leaves open; it stands in its tooltip. */
const SAVES = { picture: "save what is seen as a picture", report: "save what is seen as a page", json: "save the answer", npz: "save embeddings and attention" };
const SLIDERS = [["opacity", "Opacity"], ["threshold", "Threshold"]];
/** Which of the state each button is pressed by. */
const PRESSED = {
  exam: ({ layout }) => layout === "exam",
  right: ({ layout }) => layout === "R",
  left: ({ layout }) => layout === "L",
  align: ({ aligned }) => aligned,
  attention: ({ attentionShown }) => attentionShown,
  truth: ({ truthShown }) => truthShown,
  loupe: (_, { loupe }) => loupe,
  ruler: (_, { ruler }) => ruler,
  theme: () => document.body.classList.contains("dark"),
};

/** What an exam must have for a button to do something. */
const POSSIBLE = {
  attention: ({ side }) => side !== null,
  pin: ({ side }) => side !== null,
  right: (_, views) => views.some(({ laterality }) => laterality === "R"),
  left: (_, views) => views.some(({ laterality }) => laterality === "L"),
  truth: ({ breasts }) => Object.values(breasts).some(({ truth }) => truth),
};

/**
 * Fill a bar, and return what shows a state in it.
 * @param {HTMLElement} bar
 * @param {(action: string) => void} act
 * @param {(name: string, value: number) => void} set
 */
export function toolbar(bar, act, set) {
  const buttons = new Map();
  for (const [name, ...actions] of GROUPS) {
    const element = document.createElement("div");
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", name);
    for (const [action, label] of actions) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      button.dataset.action = action;
      if (SAVES[action]) button.title = SAVES[action];
      button.addEventListener("click", () => act(action));
      buttons.set(action, button);
      element.append(button);
    }
    bar.append(element);
  }
  const sliders = SLIDERS.map(([name, label]) => slider(bar, label, (value) => set(name, value)));
  return {
    shows(state, tools, exam, views) {
      buttons.get("theme").setAttribute("aria-pressed", String(PRESSED.theme()));
      if (!state) return;
      for (const [action, isPressed] of Object.entries(PRESSED)) buttons.get(action).setAttribute("aria-pressed", String(Boolean(isPressed(state, tools))));
      for (const [action, isPossible] of Object.entries(POSSIBLE)) buttons.get(action).disabled = !isPossible(exam, views);
      sliders.forEach((input, place) => Object.assign(input, { value: state[SLIDERS[place][0]], disabled: exam.side === null }));
    },
  };
}

function slider(bar, text, changed) {
  const label = Object.assign(document.createElement("label"), { textContent: text });
  const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.05 });
  input.addEventListener("input", () => changed(Number(input.value)));
  label.append(input);
  bar.append(label);
  return input;
}
