// Small words for the page: finding, filling, showing one view at a time.

import { text } from "./texts.js";

export const find = (id) => document.getElementById(id);

/** Puts a text in its place; leaves it alone where nothing changed, for those who listen. */
export function put(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** A notice that is there only while it says something. */
export function notify(id, message = "") {
  const place = find(id);
  put(place, message);
  place.hidden = message === "";
}

/** Marks a field as wrong, or as right again. */
export function fault(field, message = "") {
  put(find(`${field}-error`), message);
  if (message === "") find(field).removeAttribute("aria-invalid");
  else find(field).setAttribute("aria-invalid", "true");
}

/** Says everything in the language of now. */
export function translate() {
  for (const element of document.querySelectorAll("[data-text]")) {
    put(element, text(element.dataset.text));
  }
}

const leaves = new Map();

/** Shows one view and leaves the one before; whoever listens hears its title. */
export function show(name, onLeave = undefined) {
  if (onLeave) leaves.set(name, onLeave);
  if (shown() === name) return;
  leaves.get(shown())?.();
  document.body.dataset.view = name;
  for (const section of document.querySelectorAll("main > section")) {
    section.hidden = section.id !== name;
  }
  scrollTo(0, 0);
  find(`${name}-title`).focus({ preventScroll: true });
}

/** The view that is shown. */
export const shown = () => document.body.dataset.view;

/** Facts in a list: names and values, without those that have no value. */
export function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.filter(([, value]) => value).map(([name, value]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const said = document.createElement("dd");
      term.textContent = name;
      said.textContent = value;
      row.append(term, said);
      return row;
    }),
  );
}
