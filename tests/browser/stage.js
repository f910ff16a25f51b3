// The page over a scripted device, for states that pass too quickly to be looked at.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { once } from "node:events";
import { ASSETS, wire } from "./rig.js";

const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json" };

/** Serves the page's files, and one `screen` and one `qr` event to each page. */
export class Stage {
  static async open() {
    const stage = new Stage();
    stage.events = ["", ""];
    stage.operators = { operators: [
      { operator: "admin", role: "administrator" },
      { operator: "tina", role: "technician" },
      { operator: "marisol", role: "technician" },
    ] };
    stage.answer = { status: 204, body: "" };
    stage.server = createServer((request, response) => stage.serve(request, response));
    stage.server.listen(0, "127.0.0.1");
    await once(stage.server, "listening");
    stage.url = `http://127.0.0.1:${stage.server.address().port}/`;
    return stage;
  }

  show(view, qr = "") {
    const event = (name, data) => `event: ${name}\ndata: ${data}\n\n`;
    this.events = [event("screen", JSON.stringify(view)), event("qr", qr)];
  }

  async serve(request, response) {
    const path = request.url;
    if (path === "/api/screen/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      return response.write(this.events.join(""));
    }
    if (path === "/api/screen/operators") return response.end(JSON.stringify(this.operators));
    if (path === "/api/screen/press") {
      response.writeHead(this.answer.status, { "content-type": "application/problem+json" });
      return response.end(this.answer.body);
    }
    const name = path === "/" ? "index.html" : path.slice(1);
    const bytes = await readFile(join(ASSETS, name)).catch(() => undefined);
    if (bytes === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[name.split(".").pop()] });
    response.end(bytes);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** The wire's own example of a view, changed. */
export async function views() {
  const example = await wire("screen");
  const none = { bedId: undefined, deviceLabel: undefined, serverUrl: undefined };
  const link = { connected: false, uptimeSeconds: 0, bytesSent: 0, errors: 0 };
  const trend = Array(30).fill(0);
  const fresh = (state, more = {}) => ({
    ...example,
    actions: [],
    certificate: undefined,
    errorTrend: trend,
    ...more,
    status: {
      ...example.status, ...none, state, indicator: null, isProvisioned: false,
      pairingCode: undefined, expirationTime: undefined, manualConfiguration: undefined, blinking: false, link,
      ...more.status,
    },
  });
  const inForce = {
    bedId: "ICU-3B", deviceLabel: "ICU-MON-04", serverUrl: "https://monitoring.hospital.com:8443",
    isProvisioned: true, indicator: "Connected", message: "This monitor is provisioned.",
    link: { ...example.status.link, uptimeSeconds: 93_784, bytesSent: 1_482_334, errors: 4 },
  };
  const errors = trend.map((_, index) => ({ 8: 1, 9: 2, 21: 1 })[index] ?? 0);
  const provisioned = (more = {}, status = {}) =>
    fresh("Provisioned", {
      actions: ["reprovision"], certificate: example.certificate, errorTrend: errors, ...more,
      status: { ...inForce, ...status },
    });
  const problem = await wire("problem");
  const window = { pairingCode: "ABC-123-XYZ", expirationTime: 525, indicator: "Ready",
    message: "Scan the QR code with the tablet." };
  return {
    "not-provisioned": fresh("NotProvisioned", { actions: ["enter"],
      status: { message: "This monitor is not connected to a Central Station." } }),
    ready: fresh("ReadyToPair", { actions: ["regenerate", "cancel"], status: window }),
    "ready-simulate": fresh("ReadyToPair", { actions: ["regenerate", "simulate", "cancel"],
      status: { ...window, expirationTime: 42 } }),
    pairing: fresh("Pairing", { actions: ["cancel"],
      status: { indicator: "Pairing", message: "A Central Station is pairing with this monitor." } }),
    blinking: fresh("Pairing", { actions: ["cancel"], status: { indicator: "Pairing", blinking: true,
      message: "A Central Station is pairing with this monitor." } }),
    confirm: fresh("Pairing", { actions: ["confirmStation", "refuseStation"],
      status: { indicator: "Pairing", message: "A Central Station is pairing with this monitor.",
        confirmation: { stationId: "cs-1", stationName: "Central Station North", bedId: "ICU-3B",
          deviceLabel: "ICU-MON-04", words: "struggle affair task open", secondsLeft: 272 } } }),
    configuring: fresh("Configuring", { actions: ["cancel"],
      status: { indicator: "Configuring", message: "Receiving the configuration." } }),
    validating: fresh("Validating", { actions: ["cancel"],
      status: { indicator: "Configuring", message: "Testing the new connection." } }),
    provisioned: provisioned(),
    disconnected: provisioned({}, { link: { ...inForce.link, connected: false, uptimeSeconds: 0 } }),
    error: fresh("Error", { actions: ["enter"],
      status: { indicator: "Error", message: "Provisioning failed.", lastError: problem } }),
    reprovisioning: provisioned({ actions: ["regenerate", "cancel"] }, { ...window,
      state: "Reprovisioning.ReadyToPair",
      message: "Scan the QR code with the tablet. Monitoring goes on meanwhile." }),
    "reprovisioning-failed": provisioned({}, { lastError: problem }),
    manual: fresh("NotProvisioned", { actions: ["migrate", "postpone", "enter"], status: {
      message: "This monitor is not connected to a Central Station.",
      manualConfiguration: { ...example.status.manualConfiguration,
        message: "This monitor is configured by hand. Migrate it to provisioning now, or later." } } }),
    erasing: fresh("Deprovisioned", { status: { erasing: true,
      message: "This monitor was removed from its Central Station." } }),
    deprovisioned: fresh("Deprovisioned", { actions: ["enter"],
      status: { message: "This monitor was removed from its Central Station." } }),
  };
}
