// The tablet's page over a scripted station, and pictures for its camera.

import { createServer } from "node:http";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { once } from "node:events";
import { createRequire } from "node:module";
import { prepareZXingModule, writeBarcode } from "zxing-wasm/writer";
import { ASSETS, wire } from "./rig.js";

// Its file from the package; it would load it from elsewhere.
const wasm = createRequire(import.meta.url).resolve("zxing-wasm/writer/zxing_writer.wasm");
prepareZXingModule({ overrides: { wasmBinary: await readFile(wasm) } });

const TYPES = {
  html: "text/html", css: "text/css", js: "text/javascript", json: "application/json",
  wasm: "application/wasm", txt: "text/plain",
};
export const ID = "67e55044-10b1-426f-9247-bb680e5fe0c8";
export const STATION = "Central Station ICU";

/** What a monitor shows: the wire's own example, with a token of its real length. */
export const content = async (more = {}) => ({
  ...(await wire("qr")), pairingToken: "A".repeat(68), expiresAt: "2124-11-25T14:30:00Z", ...more,
});

const problem = async (code, status, more = {}) => ({
  status,
  body: { ...(await wire("problem")), field: undefined, rule: undefined, name: undefined, code, status,
    title: `Title of ${code}.`, detail: `Title of ${code}.`, next: `Next of ${code}.`, ...more },
});

/** A station that answers as told, and says of its one session what it is told. */
export class StationStage {
  static async open() {
    const stage = new StationStage();
    stage.streams = new Set();
    stage.server = createServer((request, response) => stage.serve(request, response));
    stage.server.listen(0, "127.0.0.1");
    await once(stage.server, "listening");
    stage.port = stage.server.address().port;
    stage.url = `http://127.0.0.1:${stage.port}/`;
    await stage.reset();
    return stage;
  }

  /** A technician is logged in, nothing is paired, the bed is free. */
  async reset() {
    for (const stream of this.streams) stream.destroy();
    this.asked = [];
    this.login = { operator: "tess", role: "technician" };
    this.ended = false;
    this.oneTime = false;
    this.state = null;
    this.row = { ...(await wire("device-row")), bedId: undefined, deviceLabel: undefined, provisioned: false,
      certificate: undefined, certificateNotAfter: undefined, lastSeen: undefined };
    this.atBed = [];
    this.held = null;
    this.answers = new Map();
    this.scan = { ...(await wire("scan-answer")), sessionId: ID };
    this.pending = { ...(await wire("pair-pending")), sessionId: ID };
    this.blink = await wire("blinking");
    this.courier = { ...(await wire("courier-answer")), sessionId: ID };
  }

  /** From now on this request is answered so, `times` times. */
  answer(request, answer, times = Infinity) {
    this.answers.set(request, { ...answer, times });
  }

  async refuse(request, code, status, more = {}, times = Infinity) {
    this.answer(request, await problem(code, status, more), times);
  }

  /** The session is there now; every page that follows it hears it. */
  say(phase, more = {}) {
    const { deviceId, deviceSerial, firmwareVersion } = this.scan;
    this.state = { sessionId: ID, deviceId, phase, delivery: "push", tested: false, deviceSerial, firmwareVersion, ...more };
    for (const stream of this.streams) this.tell(stream);
  }

  async fail(phase, code, more = {}) {
    this.say(phase, { problem: (await problem(code, 409)).body, ...more });
  }

  tell(stream) {
    stream.write(`event: session\nretry: 100\ndata: ${JSON.stringify(this.state)}\n\n`);
    if (["paired", "failed", "released"].includes(this.state.phase)) stream.end();
  }

  /** Requests of one kind so far. */
  count(request) {
    return this.asked.filter(({ name }) => name === request).length;
  }

  async serve(request, response) {
    const path = new URL(request.url, this.url).pathname;
    let body = "";
    for await (const chunk of request) body += chunk;
    if (path.startsWith("/api/")) return this.api(request, response, path, body);
    if (path === "/trust/ca.json") return response.end(JSON.stringify(await wire("trust")));
    const name = { "/": "tablet/index.html", "/trust": "tablet/trust.html", "/page/base.css": "base.css" }[path] ??
      path.replace(/^\/page\/words\//, "").replace(/^\/page\//, "tablet/");
    const bytes = await readFile(join(ASSETS, name)).catch(() => undefined);
    if (bytes === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[name.split(".").pop()] });
    response.end(bytes);
  }

  async api(request, response, path, body) {
    const name = `${request.method} ${path.replace(ID, "{id}")}`;
    this.asked.push({ name, body, headers: request.headers });
    const send = ({ status = 200, body, headers = {} }) => {
      const type = status < 400 ? "application/json" : "application/problem+json";
      response.writeHead(status, { "content-type": type, ...headers });
      response.end(JSON.stringify(body));
    };
    const told = this.answers.get(name);
    if (told && told.times > 0) {
      told.times -= 1;
      if (told.hold) await told.hold;
      if (told.then) told.then();
      if (told.status) return send(told);
    }
    const view = () => ({ stationId: "CS-1", stationName: STATION, login: this.login ?? undefined, ended: this.ended, mustChangePassword: this.oneTime });
    if (name === "POST /api/auth/session") {
      this.login = this.oneTime ? null : { operator: JSON.parse(body).operator, role: "technician" };
      this.ended = false;
      return send({ body: view() });
    }
    if (name === "GET /api/auth/session") return send({ body: view() });
    if (name === "POST /api/operators/self/password") {
      this.oneTime = false;
      return send({ body: { success: true } });
    }
    if (this.login === null) return send(await problem("proof_expired", 401));
    if (name === "POST /api/auth/logout") {
      this.login = null;
      return send({ body: { success: true } });
    }
    if (name === "POST /api/provisioning/sessions") {
      if (this.state === null || this.state.phase !== "identified") this.say("identified", { secondsLeft: 120 });
      return send({ body: this.scan });
    }
    if (name === "GET /api/provisioning/pair/{id}/events") {
      if (this.state === null) return send(await problem("session_unknown", 404));
      response.writeHead(200, { "content-type": "text/event-stream" });
      this.streams.add(response);
      response.on("close", () => this.streams.delete(response));
      return this.tell(response);
    }
    if (name === "GET /api/provisioning/pair/{id}") {
      return send(this.state ? { status: 202, body: this.pending } : await problem("session_unknown", 404));
    }
    if (name === "POST /api/provisioning/pair") return send({ status: 202, body: this.pending });
    if (name === "POST /api/provisioning/pair/{id}/blink") return send({ body: this.blink });
    if (name === "GET /api/provisioning/pair/{id}/courier") return send({ body: this.courier });
    if (name === "POST /api/provisioning/pair/{id}/courier") return send({ body: { success: true } });
    if (name === "POST /api/provisioning/pair/{id}/cancel") {
      await this.fail("released", "cancelled");
      return send({ body: { success: true } });
    }
    if (name.startsWith("GET /api/registry/devices/")) return send({ body: this.row });
    if (name.startsWith("GET /api/registry/beds/")) return send({ body: { devices: this.atBed } });
    send(await problem("route_unknown", 404));
  }

  /** The station is gone; `back` brings it to the same place. */
  async gone() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
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

/** A QR code at level H as a PNG data URL. */
export async function qrPicture(text) {
  const { image } = await writeBarcode(text, { format: "QRCode", ecLevel: "H", scale: 6 });
  return `data:image/png;base64,${Buffer.from(await image.arrayBuffer()).toString("base64")}`;
}

/**
 * What a camera sees of pictures that lie before it, as raw luma and chroma of one frame: each is turned,
 * in perspective, noisy, a little blurred and unevenly lit, as by somebody's hands.
 */
export async function cameraFrame(browser, pictures, { width = 1280, height = 720, side = 520, blur = 0.6 } = {}) {
  const page = await browser.newPage({ viewport: { width, height } });
  const images = pictures.map((src, index) => {
    const left = (width / pictures.length) * (index + 0.5);
    return `<img src="${src}" style="position:absolute;left:${left}px;top:50%;width:${side}px;
      transform:translate(-50%,-50%) perspective(1400px) rotateY(${12 - 8 * index}deg) rotateX(-6deg) rotateZ(${4 + 3 * index}deg)">`;
  });
  await page.setContent(`<body style="margin:0;background:#6d7377;filter:blur(${blur}px) contrast(.82) brightness(.92)">
    ${images.join("")}<div style="position:absolute;inset:0;background:linear-gradient(115deg,#fff4,#0003)"></div></body>`);
  const shot = await page.screenshot();
  const planes = await page.evaluate(async ([png, width, height]) => {
    const image = new Image();
    image.src = png;
    await image.decode();
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const drawing = canvas.getContext("2d");
    drawing.drawImage(image, 0, 0);
    const { data } = drawing.getImageData(0, 0, width, height);
    // The same noise each time.
    let seed = 7;
    const noise = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
    let luma = "";
    for (let at = 0; at < data.length; at += 4) {
      const value = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2] + 24 * noise();
      luma += String.fromCharCode(Math.max(0, Math.min(255, Math.round(value))));
    }
    return btoa(luma);
  }, [`data:image/png;base64,${shot.toString("base64")}`, width, height]);
  await page.close();
  return { width, height, luma: Buffer.from(planes, "base64") };
}

/** Frames as a film that Chromium takes for a camera (YUV4MPEG2), in grey. */
export async function film(path, frames) {
  const [{ width, height }] = frames;
  const chroma = Buffer.alloc((width * height) / 2, 128);
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420jpeg\n`)];
  for (const { luma } of frames) parts.push(Buffer.from("FRAME\n"), luma, chroma);
  await writeFile(path, Buffer.concat(parts));
  return path;
}
