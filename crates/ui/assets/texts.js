// The message catalogue: one file a language. English is what the device itself says.

const KNOWN = { EN: "en", ES: "es", DE: "de" };
const loaded = new Map();
let texts = null;

export let tag = "en";

/** Speaks `language` from now on; English where the page has no such language. */
export async function speak(language) {
  const wanted = KNOWN[language] ?? "en";
  if (!loaded.has(wanted)) {
    const answer = await fetch(`/${wanted}.json`);
    if (!answer.ok) throw new Error(`no texts: ${answer.status}`);
    loaded.set(wanted, await answer.json());
  }
  tag = wanted;
  texts = loaded.get(wanted);
  document.documentElement.lang = tag;
}

/** A text of the page, with its `{names}` filled in. */
export function text(key, values = {}) {
  const found = texts.texts[key];
  return Object.entries(values).reduce((all, [name, value]) => all.replace(`{${name}}`, value), found);
}

/** A word that the device uses, by its kind: `indicators`, `steps`, `sides`, `roles`. */
export const word = (kind, name) => texts[kind][name] ?? name;

/** What the device says about its state. */
export const stateMessage = (status) => texts.states[status.state] ?? status.message;

/** What the device says of a manual configuration; nothing where there is none. */
export function manualMessage(manual) {
  if (manual === undefined) return "";
  const name = manual.problem ? "unusable" : manual.migrating ? "migrating" : "prompt";
  return texts.manual[name] ?? manual.message;
}

/** Cause and next step of a problem document. */
export function problemTexts(problem) {
  const [cause, next] = texts.errors[problem.code] ?? [problem.title, problem.next];
  const detail = problem.field ? ` (${problem.field} ${problem.rule})` : "";
  return { cause: cause + detail, next };
}
