// The PIN pad: who, and the digits. What was typed lives in the field and is gone with it.

import { problemTexts, text, word } from "./texts.js";

const LEAST = 6;
const find = (id) => document.getElementById(id);
const pad = find("pin-pad");
const field = find("pin");
const ok = find("pin-ok");
let send = null;
let isBusy = false;

for (const key of ["1", "2", "3", "4", "5", "6", "7", "8", "9", "clear", "0", "erase"]) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.key = key;
  button.textContent = { clear: "C", erase: "⌫" }[key] ?? key;
  button.addEventListener("click", () => type(key));
  find("keys").append(button);
}
find("pin-back").addEventListener("click", () => pad.close());
pad.addEventListener("close", clear);
field.addEventListener("input", check);
pad.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

/** Asks for operator and PIN; `sender` takes both and returns a problem, or nothing when done. */
export async function askPin(title, sender) {
  send = sender;
  clear();
  find("pin-title").textContent = title;
  for (const [key, name] of [["clear", "clear"], ["erase", "erase"]]) {
    find("keys").querySelector(`[data-key="${key}"]`).setAttribute("aria-label", text(name));
  }
  const answer = await fetch("/api/screen/operators");
  if (!answer.ok) throw new Error(`no operators: ${answer.status}`);
  const { operators } = await answer.json();
  const earlier = pad.querySelector("input[name=operator]:checked")?.value;
  const chosen = operators.find(({ operator }) => operator === earlier) ?? operators[0];
  find("operators").lastElementChild.replaceChildren(
    ...operators.map((one) => choice(one, one === chosen)),
  );
  if (operators.length === 0) tell(text("noOperators"));
  pad.showModal();
  field.focus();
}

function choice({ operator, role }, isChosen) {
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "operator";
  radio.value = operator;
  radio.checked = isChosen;
  radio.addEventListener("change", () => {
    field.value = "";
    check();
  });
  const name = document.createElement("span");
  name.textContent = operator;
  const small = document.createElement("small");
  small.textContent = word("roles", role);
  label.append(radio, name, small);
  return label;
}

function type(key) {
  if (key === "clear") field.value = "";
  else if (key === "erase") field.value = field.value.slice(0, -1);
  else field.value += key;
  check();
}

function check() {
  field.value = field.value.replace(/\D/g, "").slice(0, field.maxLength);
  const isChosen = pad.querySelector("input[name=operator]:checked") !== null;
  ok.disabled = isBusy || !isChosen || field.value.length < LEAST;
  if (field.value !== "") tell("");
}

async function submit() {
  if (ok.disabled) return;
  isBusy = true;
  check();
  const operator = pad.querySelector("input[name=operator]:checked").value;
  const pin = field.value;
  field.value = "";
  const problem = await send({ operator, pin });
  isBusy = false;
  check();
  if (problem === undefined) return pad.close();
  const { cause, next } = problemTexts(problem);
  tell(`${cause} ${next}`);
  field.focus();
}

function tell(message) {
  const place = find("pin-error");
  if (place.textContent !== message) place.textContent = message;
}

/** Closes the pad: what it was for may no longer be possible. */
export function closePin() {
  if (pad.open) pad.close();
}

function clear() {
  field.value = "";
  tell("");
  check();
}
