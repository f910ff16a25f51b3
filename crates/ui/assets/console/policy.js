// What the station is and allows. It is set in its settings, never here.

import { facts, find } from "/page/dom.js";
import { number, text, word } from "/page/texts.js";
import { policy } from "/console/api.js";
import { span } from "/console/say.js";

const SUITES = { 1: "P-256", 2: "RSA-2048" };

export const open = () => {};

const yes = (is) => text(is ? "yes" : "no");

export async function refresh(isCurrent) {
  const is = await policy();
  if (!isCurrent()) return;
  facts(find("policy-station"), [
    [text("stationName"), is.stationName],
    [text("stationId"), is.stationId],
    [text("site"), is.siteId],
    [text("serverUrl"), is.serverUrl],
    [text("version"), is.version],
  ]);
  facts(find("policy-trust"), [
    [text("trustLevels"), is.trustLevels.map((level) => word("trustLevels", level)).join(", ")],
    [text("deviceTrust"), is.deviceTrust.map((ground) => word("deviceTrust", ground)).join(", ")],
    [text("suites"), is.suites.map((suite) => SUITES[suite] ?? number(suite)).join(", ")],
    [text("hardwareKeys"), yes(is.requireHardwareKeys)],
    [text("stationMadeKeys"), yes(is.stationMadeKeys)],
    [text("recovery"), yes(is.recovery)],
    [text("enrolment"), is.enrolment.map((right) => word("enrolment", right)).join(", ") || yes(false)],
  ]);
  facts(find("policy-reach"), [
    [text("routes"), is.routes.map((route) => word("routes", route)).join(", ")],
    [text("networks"), is.networks.join(", ") || text("noNetworks")],
    [text("ports"), `${is.firstPort}–${is.lastPort}`],
    [text("interval"), span(is.syncInterval)],
    [text("unit"), word("units", is.measurementUnit)],
    [text("monitorLanguage"), is.language],
  ]);
  facts(find("policy-times"), [
    [text("certificateLife"), span(is.certificateSeconds)],
    [text("crlLife"), span(is.crlSeconds)],
    [text("pendingLife"), span(is.pendingSeconds)],
    [text("sessionLife"), span(is.sessionSeconds)],
    [text("claimLife"), span(is.claimSeconds)],
    [text("loginLife"), span(is.loginSeconds)],
  ]);
}
