/** What pointers do on an element: they hover, press, drag, and two fingers pinch. */

const DRAG_PX = 3;
/** Of movement before a press is a drag. */

/**
 * Listen to an element's pointers; places are [x, y] from its corner.
 * @param {HTMLElement} element
 * @param {object} hears
 * @param {(at: number[]) => void} hears.hovered without a drag; a finger that moves hovers
 * @param {() => void} hears.left
 * @param {(at: number[], isPrimary: boolean) => void} hears.pressed
 * @param {(from: number[], to: number[], isWindow: boolean) => void} hears.dragged
 * @param {(at: number[], isTouch: boolean) => void} hears.clicked pressed and let go at one place
 * @param {(factor: number, at: number[], by: number[]) => void} hears.zoomed about a place, which moved by so much
 * @param {() => void} hears.doubled
 */
export function listen(element, hears) {
  const fingers = new Map();
  let press = null;
  const on = (name, call, options) => element.addEventListener(name, call, options);
  const at = ({ clientX, clientY }) => {
    const { left, top } = element.getBoundingClientRect();
    return [clientX - left, clientY - top];
  };
  const ended = ({ pointerId }) => {
    fingers.delete(pointerId);
    press = null;
  };
  on("pointerdown", (event) => {
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const place = at(event);
    const isTouch = event.pointerType === "touch";
    if (isTouch) fingers.set(event.pointerId, place);
    press = fingers.size > 1 ? null : { at: place, last: place, isDrag: false, isWindow: event.button === 2 || event.shiftKey, isTouch };
    if (press) hears.pressed(place, event.button === 0);
  });
  on("pointermove", (event) => {
    const place = at(event);
    if (fingers.size > 1 && fingers.has(event.pointerId)) {
      const before = [...fingers.values()];
      fingers.set(event.pointerId, place);
      hears.zoomed(...pinch(before, [...fingers.values()]));
      return;
    }
    if (press) press.isDrag ||= distance(place, press.at) > DRAG_PX;
    const isDragged = press?.isDrag && !press.isTouch;
    hears.hovered(place, Boolean(isDragged));
    if (isDragged) hears.dragged(press.last, place, press.isWindow);
    if (isDragged) press.last = place;
  });
  on("pointerup", (event) => {
    if (press && !press.isDrag) hears.clicked(at(event), press.isTouch);
    ended(event);
  });
  on("pointercancel", ended);
  on("pointerleave", () => hears.left());
  on("contextmenu", (event) => event.preventDefault());
  on("dblclick", () => hears.doubled());
  const still = { passive: false }; // the page must not scroll or zoom instead
  on("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), still);
  on("wheel", (event) => {
    event.preventDefault();
    hears.zoomed(Math.exp(-event.deltaY / 400), at(event), [0, 0]);
  }, still);
}

const distance = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
const middle = ([x, y], [u, v]) => [(x + u) / 2, (y + v) / 2];

/** Of two fingers before and after a movement: by how much they went apart, where they were, and by how much that moved. */
export function pinch([first, second], [firstNow, secondNow]) {
  const from = middle(first, second);
  const to = middle(firstNow, secondNow);
  const apart = Math.max(1, distance(first, second));
  return [Math.max(1, distance(firstNow, secondNow)) / apart, from, [to[0] - from[0], to[1] - from[1]]];
}
