// From what the device says to what is seen. Nothing here decides anything.

import { manualMessage, problemTexts, stateMessage, tag, text, word } from "./texts.js";

const find = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const TONES = { Ready: "ready", Pairing: "busy", Configuring: "busy", Connected: "good", Error: "bad" };
const STEPS = { NotProvisioned: 1, Deprovisioned: 1, Pairing: 3, Configuring: 4, Validating: 5 };
const SAMPLE_CELSIUS = 36.8;

/** Puts a text in its place; leaves it alone where nothing changed, for those who listen. */
function put(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** A long address, which may break behind its marks before it breaks anywhere. */
function putAddress(element, value) {
  if (element.textContent === value) return;
  const parts = value.split(/(?<=[.:/])(?=[^.:/])/);
  element.replaceChildren(...parts.flatMap((part) => [part, document.createElement("wbr")]));
}

function indicate(element, tone, value) {
  element.dataset.tone = tone;
  const icon = element.querySelector("use");
  if (icon.getAttribute("href") !== `#icon-${tone}`) icon.setAttribute("href", `#icon-${tone}`);
  put(element.querySelector("span"), value);
}

/** Everything but the QR code. */
export function draw(view, buttons) {
  for (const element of document.querySelectorAll("[data-text]")) {
    put(element, text(element.dataset.text));
  }
  const { status } = view;
  find("nav").setAttribute("aria-label", text("settings"));
  const place = [status.bedId, status.deviceLabel].filter(Boolean).join(" · ");
  put(find("device").firstChild, status.deviceId);
  put(find("device").lastChild, ` · ${place || view.deviceSerial}`);
  drawProvisioning(view);
  drawStatus(view);
  drawBlink(view);
  drawButtons(view.actions, buttons);
  route();
}

/** Over everything else for some seconds: somebody looks for this monitor among others. */
function drawBlink({ status, deviceSerial }) {
  put(find("blink-id").firstChild, status.deviceId);
  put(find("blink-id").lastChild, deviceSerial);
  find("blink").hidden = !status.blinking;
}

/** The view that the address names: `#status`, or else provisioning. */
export function route() {
  const shown = location.hash === "#status" ? "status" : "provisioning";
  for (const name of ["provisioning", "status"]) {
    find(name).hidden = name !== shown;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${text(shown)} – ${text("network")}`;
}

function drawProvisioning(view) {
  const { status } = view;
  const phase = status.state.split(".").pop();
  const isDown = status.state === "Provisioned" && !status.link.connected;
  const name = isDown ? "Disconnected" : (status.indicator ?? status.state);
  const tone = isDown ? "none" : (TONES[status.indicator] ?? "none");
  indicate(find("indicator"), tone, word("indicators", name));
  put(find("message"), stateMessage(status));
  const manual = status.erasing ? text("erasing") : manualMessage(status.manualConfiguration);
  find("manual").hidden = manual === "";
  put(find("manual"), manual);

  const code = status.pairingCode ?? "";
  find("window").hidden = code === "";
  put(find("code").firstChild, code);
  // Letter by letter for those who listen.
  put(find("code").lastChild, [...code].filter((symbol) => symbol !== "-").join(" "));
  find("code").dataset.symbols = code.length > 8 ? "many" : "few";
  drawTime(status.expirationTime);

  const { confirmation } = status;
  find("confirmation").hidden = confirmation === undefined;
  put(find("words"), confirmation?.words ?? "");
  put(find("confirm-station"), confirmation?.stationName ?? "");
  put(find("confirm-bed"), confirmation?.bedId ?? "–");
  put(find("confirm-label"), confirmation?.deviceLabel ?? "–");

  const error = code === "" && confirmation === undefined ? status.lastError : undefined;
  find("error").hidden = error === undefined;
  if (error !== undefined) {
    const { cause, next } = problemTexts(error);
    put(find("error-cause"), cause);
    put(find("error-next"), next);
    put(find("error-step"), word("steps", error.step));
    put(find("error-side"), word("sides", error.side));
    put(find("error-code"), error.code);
  }
  const step = STEPS[phase];
  const isTold = code !== "" || error !== undefined || confirmation !== undefined;
  find("steps").hidden = step === undefined || isTold || status.erasing;
  [...find("steps").children].forEach((item, index) => {
    item.dataset.done = String(index + 1 < step);
    if (index + 1 === step) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  find("facts").hidden = phase !== "Provisioned" || error !== undefined;
  putAddress(find("fact-server"), status.serverUrl ?? "–");
  put(find("fact-bed"), status.bedId ?? "–");
  put(find("fact-label"), status.deviceLabel ?? "–");
  put(find("fact-certificate"), certificateText(view.certificate));
}

function drawTime(seconds = 0) {
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  put(find("time"), text("remaining", { time: clock }));
  find("time").dataset.soon = String(seconds <= 60);
}

function drawStatus({ status: { link, serverUrl }, certificate, errorTrend, measurementUnit }) {
  const up = link.connected;
  indicate(find("connection"), up ? "good" : "none", word("indicators", up ? "Connected" : "Disconnected"));
  putAddress(find("server"), serverUrl ?? "–");
  put(find("last"), link.lastConnected ? dateTime(link.lastConnected) : text("never"));
  put(find("certificate"), certificateText(certificate));
  const validity = find("validity");
  validity.hidden = certificate === undefined;
  if (certificate !== undefined) {
    const tones = { valid: "good", expired: "bad", unknown: "none" };
    indicate(validity, tones[certificate.validity], text(certificate.validity));
  }
  put(find("uptime"), up ? duration(link.uptimeSeconds) : "–");
  put(find("sent"), bytes(link.bytesSent));
  put(find("errors"), new Intl.NumberFormat(tag).format(link.errors));
  drawTrend(errorTrend);
  const imperial = measurementUnit === "IMPERIAL";
  const degrees = imperial ? SAMPLE_CELSIUS * 1.8 + 32 : SAMPLE_CELSIUS;
  const number = new Intl.NumberFormat(tag, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  put(find("reading"), `${number.format(degrees)} ${imperial ? "°F" : "°C"}`);
}

const certificateText = (certificate) =>
  certificate === undefined
    ? text("noCertificate")
    : certificate.notAfter
      ? text("validUntil", { date: dateTime(certificate.notAfter) })
      : text("unknown");

function drawTrend(minutes) {
  const chart = find("trend");
  const most = Math.max(1, ...minutes);
  const total = minutes.reduce((sum, count) => sum + count, 0);
  const label = text("errorTrend", { count: String(total), minutes: String(minutes.length) });
  if (chart.getAttribute("aria-label") === label && chart.dataset.drawn === minutes.join()) return;
  chart.dataset.drawn = minutes.join();
  chart.setAttribute("aria-label", label);
  chart.setAttribute("viewBox", `0 0 ${minutes.length * 4} 20`);
  chart.replaceChildren(
    ...minutes.map((count, index) => {
      const height = count === 0 ? 1 : 4 + (16 * count) / most;
      const bar = document.createElementNS(SVG, "rect");
      const place = { x: index * 4, y: 20 - height, width: 3, height };
      for (const [name, value] of Object.entries(place)) bar.setAttribute(name, String(value));
      bar.dataset.errors = String(count > 0);
      return bar;
    }),
  );
}

/** Buttons stay the same elements as long as they are offered, so that focus and taps are not lost. */
function drawButtons(actions, press) {
  const row = find("buttons");
  const had = row.contains(document.activeElement);
  for (const button of [...row.children]) {
    if (!actions.includes(button.dataset.action)) button.remove();
  }
  actions.forEach((action, index) => {
    let button = row.querySelector(`[data-action="${action}"]`);
    if (button === null) {
      button = document.createElement("button");
      button.type = "button";
      button.dataset.action = action;
      button.addEventListener("click", () => press(action));
    }
    button.className = index === 0 && action !== "cancel" ? "main" : "";
    put(button, text(action));
    if (row.children[index] !== button) row.insertBefore(button, row.children[index] ?? null);
  });
  if (had && !row.contains(document.activeElement)) row.firstElementChild?.focus();
}

/** The QR code, enlarged by whole pixels so that its modules stay squares; none for "". */
export function drawQr(svg) {
  const frame = find("qr");
  const image = frame.firstElementChild;
  frame.hidden = svg === "";
  image.alt = text("qrAlt");
  if (svg === "") {
    image.removeAttribute("src");
    return;
  }
  image.dataset.modules = /viewBox="0 0 (\d+)/.exec(svg)?.[1] ?? "1";
  image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  fitQr();
}

/** Once more, after the window has changed its size. */
export function fitQr() {
  const frame = find("qr");
  if (frame.hidden) return;
  const image = frame.firstElementChild;
  const ratio = window.devicePixelRatio || 1;
  const modules = Number(image.dataset.modules);
  const room = Math.floor(frame.clientWidth * ratio);
  const side = (Math.max(1, Math.floor(room / modules)) * modules) / ratio;
  image.style.width = `${side}px`;
  image.style.height = `${side}px`;
}

/** Why a button did nothing; nothing for `undefined`. */
export function drawRefusal(problem) {
  const place = find("refusal");
  place.hidden = problem === undefined;
  if (problem === undefined) return put(place, "");
  const { cause, next } = problemTexts(problem);
  put(place, `${cause} ${next}`);
}

/** Shows nothing that may no longer be true. */
export function drawLost(isKnown) {
  document.body.dataset.phase = "lost";
  drawQr("");
  find("code").firstChild.textContent = "";
  find("code").lastChild.textContent = "";
  if (isKnown) put(find("lost"), text("lost"));
}

export function drawFound() {
  document.body.dataset.phase = "live";
  put(find("lost"), "");
}

function dateTime(iso) {
  const form = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(tag, form).format(new Date(iso));
}

function duration(seconds) {
  const unit = (value, name) =>
    new Intl.NumberFormat(tag, { style: "unit", unit: name }).format(value);
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${unit(days, "day")} ${unit(hours, "hour")}`;
  if (hours > 0) return `${unit(hours, "hour")} ${unit(minutes, "minute")}`;
  return minutes > 0
    ? `${unit(minutes, "minute")} ${unit(seconds % 60, "second")}`
    : unit(seconds, "second");
}

function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  // The short form of a byte has no plural.
  const [unitDisplay, maximumFractionDigits] = power === 0 ? ["long", 0] : ["short", 1];
  const form = { style: "unit", unit: units[power], unitDisplay, maximumFractionDigits };
  return new Intl.NumberFormat(tag, form).format(count / 1000 ** power);
}
