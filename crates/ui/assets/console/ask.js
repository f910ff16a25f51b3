// One question at a time: what will be done, the few things it needs, and the station's answer.

import { Refusal } from "/page/api.js";
import { find, notify, put } from "/page/dom.js";
import { problemLine, text } from "/page/texts.js";

const dialog = find("ask");
const ok = find("ask-ok");
let running = null;

/**
 * Asks. A field has `name`, `label`, and `options` (pairs of value and text), `kind` (`text`, `lines`, `file`) and `value`.
 * `check` may return a warning, which is shown once before it goes on; `act` does it.
 */
export function ask({ title, words = "", fields = [], ok: label, isGrave = false, check = async () => "", act }) {
  put(find("ask-title"), title);
  put(find("ask-text"), words);
  find("ask-text").hidden = words === "";
  find("ask-fields").replaceChildren(...fields.flatMap(made));
  notify("ask-warning");
  put(find("ask-error"), "");
  put(ok, label);
  ok.className = isGrave ? "grave" : "main";
  ok.disabled = false;
  running = { fields, check, act, warned: "" };
  dialog.showModal();
  (find("ask-fields").querySelector("input, select, textarea") ?? find("ask-cancel")).focus();
}

/** Takes the question away. */
export const dismiss = () => dialog.close();

function made({ name, label, options, kind = "text", value = "" }) {
  const id = `ask-${name}`;
  const title = Object.assign(document.createElement("label"), { htmlFor: id, textContent: label });
  const field = document.createElement(options ? "select" : kind === "lines" ? "textarea" : "input");
  Object.assign(field, { id, name });
  if (options) {
    field.append(...options.map(([of, said]) => Object.assign(document.createElement("option"), { value: of, textContent: said })));
  } else if (kind === "file") {
    field.type = "file";
  } else {
    Object.assign(field, { autocomplete: "off", spellcheck: false });
    if (kind === "text") field.maxLength = 64;
  }
  if (kind !== "file") field.value = value;
  field.setAttribute("aria-describedby", "ask-error");
  return [title, field];
}

function values() {
  return Object.fromEntries(running.fields.map(({ name, kind }) => {
    const field = find(`ask-${name}`);
    return [name, kind === "file" ? field.files[0] : field.value.trim()];
  }));
}

async function submit() {
  if (ok.disabled) return;
  const of = running;
  const given = values();
  ok.disabled = true;
  put(find("ask-error"), "");
  try {
    const warning = await of.check(given);
    if (of !== running) return;
    notify("ask-warning", warning);
    if (warning !== "" && of.warned !== warning) {
      of.warned = warning;
      return;
    }
    await of.act(given);
    if (of === running) dialog.close();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // A login that was asked for in between has closed the question; it is asked again with its refusal.
    if (of === running && !dialog.open) dialog.showModal();
    put(find("ask-error"), problemLine(error.problem));
  } finally {
    ok.disabled = false;
  }
}

/** What a field must be, said at the question. */
export const must = (rule) => {
  throw new Refusal({ code: "", title: rule, next: "" });
};

find("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
find("ask-cancel").addEventListener("click", dismiss);

const once = find("once");

/** Shows a password that was made, this one time. */
export function showOnce(operator, password) {
  put(find("once-text"), text("oneTimeText", { operator }));
  put(find("once-password"), password);
  put(find("once-copied"), "");
  once.showModal();
  find("once-close").focus();
}

find("once-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(find("once-password").textContent);
    put(find("once-copied"), text("copied"));
  } catch {
    put(find("once-copied"), text("notCopied"));
  }
});
find("once-close").addEventListener("click", () => once.close());
once.addEventListener("close", () => put(find("once-password"), ""));
// Escape closes no secret by accident.
once.addEventListener("cancel", (event) => event.preventDefault());
