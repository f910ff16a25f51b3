// The view for a typed code: told while typing whether it can be one, so that a typo costs no try.

import { fault, find, notify, put, show } from "./dom.js";
import { grouped, judge } from "./code.js";
import { number, problemTexts, text } from "./texts.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const STATES = {
  empty: "codeEmpty", letterU: "codeLetterU", symbol: "codeSymbol", short: "codeShort", more: "codeMore",
  long: "codeLong", typo: "codeTypo", good: "codeGood",
};
const GOOD = ["good", "short"];
/** Members of the station's answer, and the fields they mean. */
const FIELDS = { deviceId: "typed-device", ipAddress: "typed-address", port: "typed-port" };

const device = find("typed-device");
const code = find("typed-code");
const address = find("typed-address");
const port = find("typed-port");

/** Shows the view; `typed` gets the request, `back` is the way back. */
export function openTyped(typed, back) {
  show("typed");
  notify("typed-refusal");
  tell();
  device.focus();
  find("typed-back").onclick = back;
  find("typed-form").onsubmit = (event) => {
    event.preventDefault();
    const request = read();
    if (request !== undefined) typed(request);
  };
}

/** Says why the station did not take it; the address is asked for where it is missing. */
export function refuseTyped(problem) {
  const field = FIELDS[problem.field];
  if (field === "typed-address" || field === "typed-port") {
    find("typed-place").open = true;
    fault(field, text("placeMissing"));
    return find(field).focus();
  }
  const { cause, next } = problemTexts(problem);
  notify("typed-refusal", `${cause} ${next}`);
  (field ? find(field) : code).focus();
}

/** Empties the form: the next monitor has another code. */
export function clearTyped() {
  for (const field of [device, code, address, port]) field.value = "";
  for (const field of ["typed-device", "typed-address", "typed-port"]) fault(field);
  find("typed-place").open = false;
  tell();
}

function tell() {
  const { symbols, state, wrong } = judge(code.value);
  const place = find("typed-code-state");
  const values = { count: number(9 - symbols.length), symbol: wrong ?? "" };
  put(place, text(STATES[state], values));
  place.dataset.state = GOOD.includes(state) ? "good" : state === "empty" || state === "more" ? "open" : "bad";
  code.setAttribute("aria-invalid", String(place.dataset.state === "bad"));
  return { symbols, isGood: GOOD.includes(state) };
}

function read() {
  const id = device.value.trim();
  fault("typed-device", ID.test(id) ? "" : text("idWrong"));
  const { symbols, isGood } = tell();
  const ip = address.value.trim();
  const number = port.value.trim();
  const isPort = number === "" || (/^\d+$/.test(number) && Number(number) >= 1 && Number(number) <= 65535);
  fault("typed-address");
  fault("typed-port", isPort ? "" : text("portWrong"));
  if (!ID.test(id)) return device.focus();
  if (!isGood) return code.focus();
  if (!isPort) return port.focus();
  const request = { deviceId: id, pairingCode: grouped(symbols) };
  if (ip !== "") request.ipAddress = ip;
  if (number !== "") request.port = Number(number);
  return request;
}

code.addEventListener("input", () => {
  const atEnd = code.selectionStart === code.value.length;
  const { symbols, state } = judge(code.value);
  // Groups appear while typing at the end; whoever corrects in the middle is left alone.
  if (atEnd && ["more", "good", "typo"].includes(state) && !/[\s-]$/.test(code.value)) {
    code.value = grouped(symbols);
  }
  tell();
});
