// Pictures of each view in each state, at four sizes, light and dark, as one sheet a state:
// `npm run screenshots`. They are for eyes and lie under target/screenshots.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { launch, PINS, Rig, schemes, sizes, TARGET, wire } from "./rig.js";
import { Stage, views } from "./stage.js";

const SIZES = sizes([[800, 480], [1024, 768], [390, 844], [1440, 900]]);
const SCHEMES = schemes(["light", "dark"]);
const OUT = join(TARGET, "screenshots");

/** The QR code of a real window: its modules are what a camera will see. */
async function realQr() {
  const rig = await Rig.start();
  try {
    await fetch(`${rig.screen}api/screen/press`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ enter: { operator: "tina", pin: PINS.tina } }),
    });
    let text = "";
    for await (const chunk of (await fetch(`${rig.screen}api/screen/events`)).body) {
      text += new TextDecoder().decode(chunk);
      const found = /event: qr\ndata: (<svg.*<\/svg>)/.exec(text);
      if (found) return found[1];
    }
    throw new Error("no QR code came");
  } finally {
    await rig.stop();
  }
}

/** What is looked at: a name, a view, and what to do before the picture. */
async function scenes(qr) {
  const all = await views();
  const problem = await wire("problem");
  const list = Object.entries(all).map(([name, view]) => ({ name, view }));
  const status = ["not-provisioned", "provisioned", "disconnected"];
  for (const name of status) list.push({ name: `status-${name}`, view: all[name], hash: "#status" });
  for (const language of ["ES", "DE"]) {
    const speaking = (name) => ({ ...all[name], language });
    const suffix = language.toLowerCase();
    list.push({ name: `ready-${suffix}`, view: speaking("reprovisioning") });
    list.push({ name: `error-${suffix}`, view: speaking("error") });
    list.push({ name: `status-${suffix}`, view: { ...speaking("provisioned"), measurementUnit: "IMPERIAL" }, hash: "#status" });
  }
  const pad = async (page) => {
    await page.locator("[data-action=enter]").click();
    for (const key of "4839") await page.locator(`[data-key="${key}"]`).click();
  };
  list.push({ name: "pin-pad", view: all["not-provisioned"], act: pad });
  const wrong = async (page, stage) => {
    const refusal = { ...problem, code: "authentication_failed", title: "Name or secret is wrong.",
      next: "Check both and try again.", field: undefined, rule: undefined };
    stage.answer = { status: 401, body: JSON.stringify(refusal) };
    await pad(page);
    for (const key of "20") await page.locator(`[data-key="${key}"]`).click();
    await page.locator("#pin-ok").click();
    await page.locator("#pin-error").filter({ hasText: "." }).waitFor();
  };
  list.push({ name: "pin-pad-refused", view: all["not-provisioned"], act: wrong });
  const lost = async (page, stage) => {
    stage.server.closeAllConnections();
    await page.locator("#lost").filter({ hasText: "…" }).waitFor();
  };
  list.push({ name: "lost", view: all.ready, act: lost });
  const only = process.argv.slice(2);
  return list
    .filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)))
    .map((scene) => ({ ...scene, qr: scene.view.status.pairingCode ? qr : "" }));
}

async function picture(browser, stage, scene, [width, height], colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  stage.answer = { status: 204, body: "" };
  stage.show(scene.view, scene.qr);
  await page.goto(stage.url + (scene.hash ?? ""));
  await page.locator("body[data-phase=live]").waitFor();
  await scene.act?.(page, stage);
  const file = join(OUT, `${scene.name}-${width}x${height}-${colorScheme}.png`);
  await page.screenshot({ path: file });
  const overflow = await page.evaluate(() => {
    const root = document.documentElement;
    return [root.scrollWidth - root.clientWidth, root.scrollHeight - root.clientHeight];
  });
  if (overflow[0] > 0) console.log(`${scene.name} ${width}x${height}: ${overflow[0]} px too wide`);
  if (overflow[1] > 0) console.log(`${scene.name} ${width}x${height}: scrolls ${overflow[1]} px`);
  await context.close();
  return file;
}

async function sheet(browser, name, files) {
  const page = await browser.newPage({ viewport: { width: 1900, height: 1000 } });
  const figures = await Promise.all(files.map(async (file) =>
    `<img src="data:image/png;base64,${(await readFile(file)).toString("base64")}">`));
  await page.setContent(`<style>body{margin:8px;background:#888;display:flex;flex-wrap:wrap;gap:8px}
    img{height:430px}</style>${figures.join("")}`);
  await page.screenshot({ path: join(OUT, `${name}.png`), fullPage: true });
  await page.close();
}

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
const qr = await realQr();
const browser = await launch();
const stage = await Stage.open();
try {
  for (const scene of await scenes(qr)) {
    const files = [];
    for (const scheme of SCHEMES) {
      for (const size of SIZES) files.push(await picture(browser, stage, scene, size, scheme));
    }
    await sheet(browser, `sheet-${scene.name}`, files);
  }
} finally {
  await browser.close();
  stage.close();
}
await writeFile(join(OUT, "README"), "Made by tests/browser/screenshots.js; never committed.\n");
console.log(`pictures in ${OUT}`);
