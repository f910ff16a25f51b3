// The message catalogues: the page's own, and the words of device and station that both pages share.
// English causes and next steps are what the station itself says.

const KNOWN = ["en", "es", "de"];
const KEPT = "zmon.language";
let texts = null;
let words = null;

export let tag = "en";

/** The language chosen in this tab before, else the browser's first that there is. */
export function preferred() {
  const wanted = [sessionStorage.getItem(KEPT), ...navigator.languages];
  const known = wanted.map((name) => name?.slice(0, 2).toLowerCase());
  return known.find((name) => KNOWN.includes(name)) ?? "en";
}

/** Speaks this language from now on; with the catalogue in `folder` besides, for another page than this. */
export async function speak(language, folder = undefined) {
  const load = async (path) => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`no texts: ${answer.status}`);
    return answer.json();
  };
  const own = folder === undefined ? {} : load(`${folder}/${language}.json`);
  const [page, besides, shared] = await Promise.all([
    load(`/page/${language}.json`), own, load(`/page/words/${language}.json`),
  ]);
  texts = { ...page, ...besides, texts: { ...page.texts, ...besides.texts } };
  words = shared;
  tag = language;
  sessionStorage.setItem(KEPT, language);
  document.documentElement.lang = language;
}

/** A text of the page, with its `{names}` filled in. */
export function text(key, values = {}) {
  const found = texts.texts[key];
  return Object.entries(values).reduce((all, [name, value]) => all.replace(`{${name}}`, () => value), found);
}

/** Where a failure lies: `steps`, `sides`. */
export const word = (kind, name) => texts[kind]?.[name] ?? words[kind]?.[name] ?? name;

/** Cause and next step of a problem document. */
export function problemTexts(problem) {
  const [cause, next] = texts.errors[problem.code] ?? words.errors[problem.code] ?? [problem.title, problem.next];
  const detail = problem.field ? ` (${problem.field} ${problem.rule})` : "";
  return { cause: cause + detail, next };
}

/** Both in one line. */
export function problemLine(problem) {
  const { cause, next } = problemTexts(problem);
  return `${cause} ${next}`;
}

export const number = (value) => new Intl.NumberFormat(tag).format(value);
