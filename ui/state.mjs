/** What the viewer shows, and how it changes: pure functions from one state to the next. */

import { hung, keyOf } from "./layout.mjs";
import { bounded } from "./window.mjs";

/**
 * @typedef {object} Query a cell of a view that is asked about
 * @property {string} key the view, "L-CC"
 * @property {{row: number, col: number}} cell
 */

/** The state of an exam that has just come: the layout that shows all of it, nothing asked yet. */
export function begun(views) {
  const sides = new Set(views.map(({ laterality }) => laterality));
  return {
    layout: sides.size === 1 ? [...sides][0] : "exam",
    aligned: false,
    query: null,
    pins: [],
    opacity: 0.6,
    threshold: 0,
    attentionShown: true,
    truthShown: false,
    windows: {},
  };
}

/** The key of the other view of the same breast. */
export const otherKey = (key) => (key.endsWith("CC") ? `${key[0]}-MLO` : `${key[0]}-CC`);

/** The key of the same view of the other breast. */
export const otherBreast = (key) => `${key[0] === "L" ? "R" : "L"}${key.slice(1)}`;

/** The middle of a view asked about; nothing where the model has no cells (`side` null). */
export const entered = (state, key, side) => (side === null ? state : asked(state, { key, cell: { row: side >> 1, col: side >> 1 } }));

/** A query moved by so many cells, kept within the grid; without one, the middle of the first view. */
export function stepped(state, views, side, rows, cols) {
  if (state.query === null) {
    const [first] = hung([...views], state.layout);
    return first ? entered(state, keyOf(first), side) : state;
  }
  const clip = (value) => Math.min(Math.max(value, 0), side - 1);
  const { row, col } = state.query.cell;
  return asked(state, { key: state.query.key, cell: { row: clip(row + rows), col: clip(col + cols) } });
}

/** The query carried to the place where the model looks: the row of its peak in the other view. */
export function followed(state, peak) {
  if (state.query === null) return state;
  return asked(state, { key: otherKey(state.query.key), cell: { row: peak, col: state.query.cell.col } });
}

export const asked = (state, query) => ({ ...state, query });

/** Whether two queries are of the same cell. */
export const sameQuery = (one, other) => one?.key === other?.key && one?.cell.row === other?.cell.row && one?.cell.col === other?.cell.col;

/** Whether the query is among the pins. */
export const isPinned = ({ pins, query }) => pins.some((pin) => sameQuery(pin, query));

/** The query pinned, or unpinned when it is already. */
export function pinned(state) {
  if (state.query === null) return state;
  const others = state.pins.filter((pin) => !sameQuery(pin, state.query));
  return { ...state, pins: others.length < state.pins.length ? others : [...state.pins, state.query] };
}

export const cleared = (state) => ({ ...state, query: null, pins: [] });

/** Another layout; a query of a breast that it does not show is dropped. As it was where it would show no view. */
export function laidOut(state, layout, views) {
  if (hung([...views], layout).length === 0) return state;
  const isShown = state.query === null || layout === "exam" || state.query.key[0] === layout;
  return { ...state, layout, aligned: layout === "exam" ? false : state.aligned, query: isShown ? state.query : null };
}

const SHARED = ["layout", "aligned", "query", "pins", "opacity", "threshold", "attentionShown", "truthShown", "windows"];

/**
 * The state, and the example it is of, as the part of a link behind #: nothing of a patient, and of an upload no name.
 * @param {object} state
 * @param {string | null} example
 */
export function asLink(state, example) {
  const view = JSON.stringify(Object.fromEntries(SHARED.map((name) => [name, state[name]])));
  return new URLSearchParams({ ...(example ? { example } : {}), view }).toString();
}

/** The state of such a part, over one that has just begun; what cannot be is left out. */
export function fromLink(text, state, views, side) {
  let sent;
  try {
    sent = JSON.parse(new URLSearchParams(text).get("view"));
  } catch {
    return state;
  }
  if (sent === null || typeof sent !== "object") return state;
  const keys = new Set(views.map(keyOf));
  const isQuery = (query) => query && keys.has(query.key) && isCell(query.cell, side);
  const onlyQuery = ({ key, cell: { row, col } }) => ({ key, cell: { row, col } });
  const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
  const layout = ["exam", "L", "R"].includes(sent.layout) && hung([...views], sent.layout).length ? sent.layout : state.layout;
  const isShown = (query) => layout === "exam" || query.key[0] === layout;
  return {
    ...state,
    layout,
    aligned: layout !== "exam" && sent.aligned === true,
    query: isQuery(sent.query) && isShown(sent.query) ? onlyQuery(sent.query) : null,
    pins: Array.isArray(sent.pins) ? once(sent.pins.filter(isQuery).map(onlyQuery)) : [],
    opacity: isShare(sent.opacity) ? sent.opacity : state.opacity,
    threshold: isShare(sent.threshold) ? sent.threshold : state.threshold,
    attentionShown: sent.attentionShown !== false,
    truthShown: sent.truthShown === true,
    windows: windowsOf(sent.windows, keys),
  };
}

const isCell = (cell, side) => cell && [cell.row, cell.col].every((place) => Number.isInteger(place) && place >= 0 && place < side);

/** Each query once: there are no more than cells, whatever a link says. */
const once = (queries) => [...new Map(queries.map((query) => [JSON.stringify(query), query])).values()];

function windowsOf(windows, keys) {
  const isWindow = ({ centre, width }) => Number.isFinite(centre) && Number.isFinite(width) && width > 0;
  const entries = Object.entries(windows ?? {}).filter(([key, window]) => keys.has(key) && window && isWindow(window));
  return Object.fromEntries(entries.map(([key, { centre, width, inverted }]) => [key, bounded({ centre, width, inverted: inverted === true })]));
}
