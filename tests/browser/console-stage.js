// The console over a scripted station, for states that would take a ward and a month to come by.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { once } from "node:events";
import { ASSETS, wire } from "./rig.js";

const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json" };
const DAY = 86_400_000;
const STATION = "Central Station ICU";

const at = (days) => new Date(Date.now() + days * DAY).toISOString().replace(/\.\d+/, "");

export const problem = async (code, status, more = {}) => ({
  status,
  body: { ...(await wire("problem")), field: undefined, rule: undefined, name: undefined, code, status,
    title: `Title of ${code}.`, detail: `Title of ${code}.`, next: `Next of ${code}.`, ...more },
});

/** A station that answers as it is told, and remembers what it was asked. */
export class ConsoleStage {
  static async open() {
    const stage = new ConsoleStage();
    stage.server = createServer((request, response) => stage.serve(request, response));
    stage.server.listen(0, "127.0.0.1");
    await once(stage.server, "listening");
    stage.port = stage.server.address().port;
    stage.url = `http://127.0.0.1:${stage.port}/console`;
    await stage.reset();
    return stage;
  }

  /** An administrator is logged in; seven monitors stand in every state. */
  async reset() {
    this.asked = [];
    for (const follower of this.followers ?? []) follower.end();
    this.followers = new Set();
    this.login = { operator: "ada", role: "administrator" };
    this.answers = new Map();
    const row = await wire("device-row");
    const monitor = (n, more = {}) => ({
      ...row, deviceId: `ZM-00${n}`, deviceSerial: `SN-2024-00123${n}`, bedId: `ICU-${n}`, deviceLabel: `ICU-MON-0${n}`,
      certificate: `5f0${n}`, certificateNotAfter: at(60 + n), lastSeen: at(0), link: { ...row.link, secondsAgo: n }, ...more,
    });
    const none = { provisioned: false, certificate: undefined, certificateNotAfter: undefined, trustLevel: undefined, lastSeen: undefined, link: undefined };
    this.devices = [
      monitor(1),
      monitor(2, { bedId: "ICU-2", model: "Z Monitor 8" }),
      monitor(3, { certificateNotAfter: at(12), trustLevel: "proximity" }),
      monitor(4, { bedId: "ICU-2", lastSeen: at(-0.1), link: { ...row.link, connected: false, secondsAgo: 9_000 } }),
      monitor(5, { certificateNotAfter: at(-2), link: undefined, lastSeen: undefined }),
      monitor(6, { ...none, bedId: undefined, deviceLabel: undefined }),
      monitor(7, { ...none, bedId: undefined, status: "decommissioned" }),
    ];
    const { certificates: [certificate] } = await wire("certificate-list");
    const valid = { ...certificate, revokedAt: undefined, reason: undefined };
    this.certificates = this.devices.filter(({ certificate }) => certificate).map((device, n) => ({
      ...valid, serial: device.certificate, deviceId: device.deviceId, state: "current",
      issuedAt: at(-30 - n), notBefore: at(-30 - n), notAfter: device.certificateNotAfter,
    }));
    this.certificates.push({ ...certificate, serial: "4e07", deviceId: "ZM-007", revokedAt: at(-5), notAfter: at(20), reason: "decommissioned" });
    this.expiry = [{ day: -2, certificates: 1 }, { day: 11, certificates: 1 }, { day: 60, certificates: 1 }, { day: 61, certificates: 2 }];
    const account = (operator, role, more = {}) => ({ operator, role, disabled: false, oneTime: false, createdAt: at(-200), ...more });
    this.operators = [
      account("ada", "administrator"), account("audrey", "auditor"),
      account("tess", "technician"), account("tim", "technician", { disabled: true }), account("tom", "technician", { oneTime: true, createdAt: at(-1) }),
    ];
    const { rows: [entry] } = await wire("audit-page");
    const events = ["started", "login_succeeded", "session_opened", "certificate_issued", "pairing_succeeded", "login_refused", "device_moved", "certificate_revoked"];
    this.audit = Array.from({ length: 130 }, (_, n) => {
      const eventType = events[n % events.length];
      const success = eventType !== "login_refused";
      return { ...entry, lane: "station:CS-1", seq: n + 1, timestamp: Date.now() - (130 - n) * 90_000, eventType, success,
        actor: ["system", "technician:tess", "peer"][n % 3], code: success ? undefined : "authentication_failed",
        errorMessage: undefined, pairingCode: undefined, configurationHash: undefined,
        deviceId: n % 3 === 1 ? "ZM-001" : undefined, sessionId: undefined,
        detail: eventType === "device_moved" ? { from: "ICU-1", to: "=ICU-3B,\"x\"" } : { source: "10.1.0.9" } };
    });
    const problems = { device_unreachable: 502, device_key_conflict: 409, request_malformed: 400 };
    const why = async (code, more) => (await problem(code, problems[code], more)).body;
    const item = (row, state, more = {}) => ({
      row, deviceId: `ZM-0${row}`, deviceSerial: `SN-2024-00${row}`, bedId: `ICU-${row}`, deviceLabel: `ICU-MON-${row}`, state,
      attempts: state === "waiting" ? 0 : 1, operator: "tess", begunAt: at(0), endedAt: ["paired", "failed"].includes(state) ? at(0) : undefined, ...more,
    });
    const items = [
      ...[11, 12, 13, 14].map((row) => item(row, "paired")),
      item(15, "pairing"), item(16, "pairing"),
      item(17, "failed", { problem: await why("device_unreachable") }),
      item(18, "failed", { problem: await why("device_key_conflict") }),
      item(19, "failed", { deviceId: undefined, deviceSerial: undefined, bedId: undefined, deviceLabel: undefined, attempts: 0,
        problem: await why("request_malformed", { field: "row 19.bedId", rule: "must be 1 to 64 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit" }) }),
      ...[20, 21, 22, 23].map((row) => item(row, "waiting")),
    ];
    const batch = (n, batchName, state, items, days) => ({
      batchId: `3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d3${n}`, batchName, state, operator: "tess", openedAt: at(days), concurrency: 4, items,
    });
    this.batches = [
      batch(0, "Ward 3, new monitors", "open", items, -0.01),
      batch(1, "Ward 2", "paused", [item(1, "paired"), item(2, "waiting")], -1),
      batch(2, "Ward 1", "closed", [item(1, "paired"), item(2, "skipped")], -30),
    ];
    this.intact = true;
    this.policy = { ...(await wire("policy")), stationName: STATION };
  }

  answer(request, answer, times = Infinity) {
    this.answers.set(request, { ...answer, times });
  }

  async refuse(request, code, status, more = {}, times = Infinity) {
    this.answer(request, await problem(code, status, more), times);
  }

  count(request) {
    return this.asked.filter(({ name }) => name === request).length;
  }

  /** The last body of such a request. */
  body(request) {
    return JSON.parse(this.asked.findLast(({ name }) => name === request).body);
  }

  async serve(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.url);
    let body = "";
    for await (const chunk of request) body += chunk;
    if (pathname.startsWith("/api/")) return this.api(request, response, pathname, searchParams, body);
    const name = { "/console": "console/index.html", "/page/base.css": "base.css" }[pathname] ??
      pathname.replace(/^\/page\/words\//, "").replace(/^\/page\//, "tablet/").slice(pathname.startsWith("/console") ? 1 : 0);
    const bytes = await readFile(join(ASSETS, name)).catch(() => undefined);
    if (bytes === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[name.split(".").pop()] });
    response.end(bytes);
  }

  async api(request, response, path, query, body) {
    const name = `${request.method} ${path}`;
    this.asked.push({ name, body, query: String(query), headers: request.headers });
    const send = ({ status = 200, body, headers = {} }) => {
      const type = status < 400 ? "application/json" : "application/problem+json";
      response.writeHead(status, { "content-type": type, ...headers });
      response.end(JSON.stringify(body));
    };
    const told = this.answers.get(name);
    if (told && told.times > 0) {
      told.times -= 1;
      return send(told);
    }
    const [, followed] = /^GET \/api\/batches\/([^/]+)\/events$/.exec(name) ?? [];
    if (followed) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      this.followers.add(response);
      return response.write(`event: batch\ndata: ${JSON.stringify(this.batch(followed))}\n\n`);
    }
    const view = () => ({ stationId: "CS-1", stationName: STATION, login: this.login ?? undefined, ended: false, mustChangePassword: false });
    if (name === "POST /api/auth/session") {
      this.login = { operator: JSON.parse(body).operator, role: this.nextRole ?? "administrator" };
      return send({ body: view() });
    }
    if (name === "GET /api/auth/session") return send({ body: view() });
    if (this.login === null) return send(await problem("proof_expired", 401));
    if (name === "POST /api/auth/logout") {
      this.login = null;
      return send({ body: { success: true } });
    }
    const tag = this.tag(name);
    const matching = request.headers["if-match"];
    if (matching !== undefined && matching !== tag) return send(await problem("precondition_failed", 412));
    if (tag && request.method === "GET") return send({ body: this.placeOf(name), headers: { etag: tag } });
    const found = this.read(name, query) ?? this.change(name, body, query);
    send(found ? { body: found } : await problem("route_unknown", 404));
  }

  /** Where the monitor of such a request stands. */
  placeOf(name) {
    const [, id] = /^(?:GET|POST) \/api\/registry\/devices\/([^/]+)\/place$/.exec(name) ?? [];
    const device = this.devices.find(({ deviceId }) => deviceId === id);
    return device && { bedId: device.bedId, deviceLabel: device.deviceLabel };
  }

  tag(name) {
    const place = this.placeOf(name);
    return place && `"${Buffer.from(JSON.stringify(place)).toString("hex")}"`;
  }

  /** A batch as the station answers it. */
  batch(id) {
    const found = this.batches.find(({ batchId }) => batchId === id);
    const counts = { waiting: 0, pairing: 0, paired: 0, failed: 0, skipped: 0 };
    for (const { state } of found?.items ?? []) counts[state] += 1;
    return found && { ...found, counts };
  }

  /** Somebody has scanned: an item moves, and whoever looks is told. */
  move(id, row, state) {
    const item = this.batch(id).items.find((item) => item.row === row);
    Object.assign(item, { state, attempts: 1, endedAt: at(0), problem: undefined });
    for (const follower of this.followers) follower.write(`event: batch\ndata: ${JSON.stringify(this.batch(id))}\n\n`);
  }

  read(name, query) {
    const page = (rows) => rows.slice(Number(query.get("offset") ?? 0)).slice(0, Number(query.get("limit") ?? 100));
    const [, id] = /^GET \/api\/registry\/devices\/([^/]+)$/.exec(name) ?? [];
    if (id) return this.devices.find(({ deviceId }) => deviceId === id);
    const [, bed] = /^GET \/api\/registry\/beds\/([^/]+)$/.exec(name) ?? [];
    if (bed) return { devices: this.devices.filter(({ bedId }) => bedId === bed), total: 0 };
    const [, batch] = /^GET \/api\/batches\/([^/]+)$/.exec(name) ?? [];
    if (batch) return this.batch(batch);
    switch (name) {
      case "GET /api/batches": {
        const rows = this.batches.map(({ batchId }) => ({ ...this.batch(batchId), items: undefined, concurrency: undefined }));
        return { batches: page(rows), total: rows.length };
      }
      case "GET /api/registry/devices": {
        const [text, state] = [(query.get("text") ?? "").toLowerCase(), query.get("state")];
        const stands = (row) => row.status === "decommissioned" ? "decommissioned" : !row.provisioned ? "unprovisioned" : row.link?.connected ? "connected" : "disconnected";
        const rows = this.devices.filter((row) => JSON.stringify(row).toLowerCase().includes(text) && (!state || stands(row) === state));
        if (query.get("order") === "bed") rows.sort((one, other) => (one.bedId ?? "\uffff").localeCompare(other.bedId ?? "\uffff"));
        return { devices: page(rows), total: rows.length };
      }
      case "GET /api/certificates": {
        const of = query.get("deviceId");
        const rows = this.certificates.filter((row) => (of ? row.deviceId === of : row.state === (query.get("state") ?? "current")));
        return { certificates: page(rows), total: rows.length, expiry: this.expiry };
      }
      case "GET /api/operators": return { operators: this.operators };
      case "GET /api/audit": {
        const limit = Number(query.get("limit"));
        if (query.has("after")) {
          const rows = this.audit.filter(({ seq }) => seq > Number(query.get("after"))).slice(0, limit);
          return { rows, next: rows.length === limit ? rows.at(-1).seq : undefined };
        }
        const before = Number(query.get("before")) || Infinity;
        const rows = this.audit.filter(({ seq }) => seq < before).reverse().slice(0, limit);
        return { rows, next: rows.length === limit ? rows.at(-1).seq : undefined };
      }
      case "GET /api/audit/verify":
        return { intact: this.intact, rows: this.audit.length, checkpoints: 3, finding: this.intact ? undefined : "station:CS-1 row 17: the record is not the one that was hashed" };
      case "GET /api/overview":
        return { time: at(0), since: at(-3), active: 6, provisioned: 5, connected: 3, expiring: 1, expired: 1, openSessions: 1, pairedLastDay: 2, junkRefused: 1_217 };
      case "GET /api/policy": return this.policy;
      default: return undefined;
    }
  }

  change(name, body, query) {
    const [, batch, move] = /^POST \/api\/batches\/([^/]+)\/(.+)$/.exec(name) ?? [];
    if (move === "retry") {
      const rows = body === "" ? this.batch(batch).items.filter(({ state, attempts }) => state === "failed" && attempts > 0).map(({ row }) => row) : JSON.parse(body).rows;
      for (const item of this.batch(batch).items) if (rows.includes(item.row)) Object.assign(item, { state: "waiting", problem: undefined });
      return { success: true, rows };
    }
    if (move) {
      const of = this.batches.find(({ batchId }) => batchId === batch);
      of.state = { pause: "paused", resume: "open", close: "closed" }[move];
      for (const item of of.items) if (move === "close" && item.state === "waiting") item.state = "skipped";
      return this.batch(batch);
    }
    if (name === "POST /api/batches") {
      const batchId = "3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d39";
      this.batches.unshift({ ...this.batches[1], batchId, batchName: query.get("name"), state: "open", openedAt: at(0) });
      return this.batch(batchId);
    }

    const [, id, what] = /^POST \/api\/registry\/devices\/([^/]+)\/(.+)$/.exec(name) ?? [];
    const device = this.devices.find(({ deviceId }) => deviceId === id);
    const end = (serial, reason) => {
      const certificate = this.certificates.find((row) => row.serial === serial);
      if (certificate) Object.assign(certificate, { state: "revoked", reason, revokedAt: at(0) });
      const holder = this.devices.find((row) => row.certificate === serial);
      if (holder) Object.assign(holder, { provisioned: false, certificate: undefined, certificateNotAfter: undefined });
    };
    if (what === "place") return Object.assign(device, { bedId: undefined, deviceLabel: undefined }, JSON.parse(body));
    if (what === "decommission") {
      end(device.certificate, "decommissioned");
      device.status = "decommissioned";
      return { success: true };
    }
    if (what === "accept-audit") return { success: true };
    if (what === "rekey") return { success: true, deviceId: id, identityKey: device.identityKey, revoked: 1 };
    const [, serial] = /^POST \/api\/certificates\/([^/]+)\/revoke$/.exec(name) ?? [];
    if (serial) {
      end(serial, JSON.parse(body).reason);
      return { success: true, serial, deviceId: "", alreadyRevoked: false };
    }
    const [, operator, of] = /^POST \/api\/operators\/([^/]+)\/(.+)$/.exec(name) ?? [];
    const account = this.operators.find((row) => row.operator === operator);
    if (of === "access") {
      account.disabled = JSON.parse(body).disabled;
      return { success: true };
    }
    if (of === "one-time-password") {
      account.oneTime = true;
      return { success: true, oneTimePassword: "0123456789abcdefghjk" };
    }
    if (name === "POST /api/operators") {
      this.operators.push({ ...JSON.parse(body), disabled: false, oneTime: true, createdAt: at(0) });
      return { success: true, oneTimePassword: "kjhgfedcba9876543210" };
    }
    if (name === "POST /api/registry/import") return { success: true, added: 2, changed: 0, unchanged: 1 };
    return undefined;
  }

  /** The station is gone; `back` brings it to the same place. */
  async gone() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async back() {
    this.server = createServer((request, response) => this.serve(request, response));
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
