// The console: one view at a time, looked at again every few seconds. What is drawn is what the station
// says; nothing is kept.

import { isLost, logOut, onLoginEnded, Refusal, whoIsThere } from "/page/api.js";
import { find, put, show, shown, translate } from "/page/dom.js";
import { askLogin } from "/page/login.js";
import { preferred, problemLine, speak, tag, text } from "/page/texts.js";
import { overview as overviewOf } from "/console/api.js";
import { dismiss } from "/console/ask.js";
import * as audit from "/console/audit.js";
import * as batches from "/console/batches.js";
import * as beds from "/console/beds.js";
import * as certificates from "/console/certificates.js";
import { closeDevice, refreshDevice } from "/console/device.js";
import * as fleet from "/console/fleet.js";
import * as operators from "/console/operators.js";
import * as overview from "/console/overview.js";
import * as policy from "/console/policy.js";
import { setClock } from "/console/say.js";

const LOOK = 5_000;
const AGAIN = 1_000;
const FOLDER = "/console";
const VIEWS = { overview, fleet, beds, batches, certificates, operators, audit, policy };

let role = null;
let timer = 0;
/** The look that is under way; one that a newer one has overtaken draws nothing more. */
let look = 0;

async function start() {
  await speak(preferred(), FOLDER);
  find("language").value = tag;
  translate();
  for (const field of document.querySelectorAll("[data-hint]")) field.placeholder = text(field.dataset.hint);
  onLoginEnded(async () => {
    dismiss();
    closeDevice();
    admit(await askLogin(text("loginEnded")));
  });
  const view = await untilAnswered(whoIsThere);
  greet(view);
  admit(view.login ? view : await askLogin(view.ended ? text("loginEnded") : ""));
  // By this machine's own clock, something might be called expired that is not.
  await untilAnswered(async () => setClock((await overviewOf()).time));
  addEventListener("hashchange", go);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
  go();
}

/** Asks until the station answers, and says meanwhile that it does not. */
async function untilAnswered(ask) {
  for (;;) {
    try {
      const answer = await ask();
      lost(false);
      return answer;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      lost(true);
      await new Promise((done) => setTimeout(done, AGAIN));
    }
  }
}

function greet(view) {
  put(find("station").firstChild, view.stationName);
  document.title = `${text("console")} – ${view.stationName}`;
}

/** Somebody has logged in: they see what their role may do, and nothing else. */
function admit(view) {
  greet(view);
  const isOther = role !== null && (role !== view.login.role || find("operator").textContent !== view.login.operator);
  role = view.login.role;
  put(find("operator"), view.login.operator);
  for (const element of document.querySelectorAll("[data-roles]")) {
    element.hidden = !element.dataset.roles.split(" ").includes(role);
  }
  find("who").hidden = false;
  find("views").hidden = false;
  if (isOther) go();
}

function lost(isLost, message = text("stationLost")) {
  put(find("lost"), isLost ? message : "");
  document.body.dataset.lost = String(isLost);
}

const mayLookAt = (name) => {
  const link = find("views").querySelector(`a[href="#/${name}"]`);
  return link !== null && !link.hidden;
};

/** The view and what it is asked for, as the address says: `#/fleet?state=connected`. */
function wanted() {
  const [name, query = ""] = location.hash.slice(2).split("?");
  return { name: name in VIEWS && mayLookAt(name) ? name : "overview", query: new URLSearchParams(query) };
}

function go() {
  const { name, query } = wanted();
  closeDevice();
  for (const link of find("views").querySelectorAll("a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  VIEWS[name].open({ role, operator: find("operator").textContent, query, refresh });
  document.body.dataset.fresh = "false";
  show(name, VIEWS[name].leave);
  refresh();
}

/** Looks at the station now, and again after a while. */
async function refresh() {
  clearTimeout(timer);
  look += 1;
  const mine = look;
  const view = VIEWS[wanted().name];
  const isCurrent = () => mine === look && shown() !== "login";
  try {
    await view.refresh(isCurrent);
    if (mine !== look) return;
    lost(false);
    document.body.dataset.fresh = "true";
    await refreshDevice();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (mine !== look) return;
    lost(true, isLost(error) ? undefined : problemLine(error.problem));
  } finally {
    if (mine === look) timer = setTimeout(() => document.visibilityState === "visible" && refresh(), LOOK);
  }
}

find("log-out").addEventListener("click", async () => {
  try {
    await logOut();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (isLost(error)) return lost(true);
  }
  clearTimeout(timer);
  look += 1;
  find("who").hidden = true;
  find("views").hidden = true;
  admit(await askLogin());
  go();
});
find("language").addEventListener("change", async (event) => {
  await speak(event.target.value, FOLDER);
  // Texts that were put together are made again with their view.
  location.reload();
});
addEventListener("unhandledrejection", () => lost(true, text("broken")));
// A page out of the browser's memory would show what was.
addEventListener("pageshow", (event) => event.persisted && location.reload());

start();
