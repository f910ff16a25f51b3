// The programs as they ship, in a temporary directory, and a browser that stays offline.

import { spawn, execFile } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connect } from "node:tls";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

export const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const ASSETS = join(ROOT, "crates/ui/assets");
export const TARGET = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target");
export const PINS = { admin: "902741", tina: "483920" };

export const program = (name) => join(TARGET, "debug", name);

/** A started program: its ready line, and how to end it. */
export async function start(name, args) {
  const child = spawn(program(name), args, { stdio: ["ignore", "pipe", "pipe"], env: {} });
  let log = "";
  child.stderr.on("data", (bytes) => (log += bytes));
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`${name} ended with ${code}\n${log}`))),
  ]);
  return {
    ready: JSON.parse(line),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await once(child, "exit");
      }
      return child.exitCode;
    },
  };
}

/** A station, a device that trusts it, and what a technician does with a picture of the screen. */
export class Rig {
  static async start({ station = [], device = [] } = {}) {
    const home = await mkdtemp(join(tmpdir(), "zmon-browser-"));
    const rig = new Rig();
    Object.assign(rig, { home, dir: join(home, "bed-7") });
    rig.station = await start("mock-central-station", ["--ephemeral", "--auto-provision", ...station]);
    const { addresses, site, operatorToken } = rig.station.ready;
    await writeFile(join(home, "pins"), `${PINS.admin}\n${PINS.tina}\n`, { mode: 0o600 });
    await writeFile(join(home, "token"), operatorToken, { mode: 0o600 });
    rig.args = ["--station", addresses.operators, "--ca", addresses.anchor, "--operator", "admin"];
    await run(program("device"), [
      "init", rig.dir, "--anchor", addresses.anchor, "--site", site,
      "--technician", "tina", "--pin-file", join(home, "pins"),
    ]);
    await rig.startDevice("127.0.0.1:0", device);
    return rig;
  }

  async startDevice(screen, more = []) {
    this.device = await start("device", ["run", this.dir, "--screen", screen, ...more]);
    this.screen = this.device.ready.addresses.screen;
  }

  /** Where the monitor waits for a typed code, as its screen is told. */
  async listensAt() {
    let text = "";
    for await (const chunk of (await fetch(`${this.screen}api/screen/events`)).body) {
      text += new TextDecoder().decode(chunk);
      const found = /event: screen\ndata: (\{.*\})\n/.exec(text);
      if (found) return JSON.parse(found[1]).status.listener;
    }
    throw new Error("the screen says nothing");
  }

  /** The tablet: reads the picture and pairs. */
  async pair(picture, more = ["--bed", "ICU-3B", "--label", "ICU-MON-04"]) {
    const token = ["--token-file", join(this.home, "token")];
    const args = ["--json", "pair", ...this.args, ...token, "--qr-image", picture, ...more];
    const { stdout } = await run(program("zmon"), args);
    return JSON.parse(stdout);
  }

  async stop() {
    await this.device?.stop();
    await this.station?.stop();
    await rm(this.home, { recursive: true, force: true });
  }
}

/** Debian's Chromium; it speaks to nobody but us. */
export const launch = (...more) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...more,
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-dev-shm-usage",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });

/** The same with a film for its camera, which every page may use; without a film, with no camera. */
export const launchWithCamera = (film, ...more) =>
  launch(
    "--use-fake-ui-for-media-stream",
    ...(film ? ["--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${film}`] : []),
    ...more,
  );

/** Makes a browser take the station's key for trusted, as a tablet does that has its CA. */
export async function trusting(station) {
  const { hostname, port } = new URL(station);
  const key = await new Promise((done, failed) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      socket.destroy();
      done(certificate.publicKey.export({ type: "spki", format: "der" }));
    });
    socket.on("error", failed);
  });
  return `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`;
}

/** A page that notes every address it asks for, and every error. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 800, height: 480 }, ...options });
  const page = await context.newPage();
  const asked = [];
  const faults = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(url);
  return { page, asked, faults };
}

/** Of all sizes and schemes of pictures those that SIZE=800x480 and SCHEME=light ask for. */
export const sizes = (all) => all.filter((size) => [undefined, size.join("x")].includes(process.env.SIZE));
export const schemes = (all) => all.filter((scheme) => [undefined, scheme].includes(process.env.SCHEME));

export const wire = async (name) =>
  JSON.parse(await readFile(join(ROOT, `crates/wire/tests/golden/${name}.json`), "utf8"));
