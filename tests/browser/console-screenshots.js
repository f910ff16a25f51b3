// Pictures of each view of the console, at four sizes, light and dark, as one sheet a view:
// `npm run screenshots`. They are for eyes and lie under target/screenshots.

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConsoleStage } from "./console-stage.js";
import { launch, TARGET } from "./rig.js";

const SIZES = [[800, 480], [1024, 768], [390, 844], [1440, 900]];
const SCHEMES = ["light", "dark"];
const OUT = join(TARGET, "screenshots");

const go = (hash) => async (page) => {
  const name = hash.split("?")[0];
  await page.evaluate((hash) => (location.hash = `/${hash}`), hash);
  await page.locator(`body[data-view=${name}][data-fresh=true]`).waitFor();
};
const after = (hash, act) => async (page, stage) => {
  await go(hash)(page);
  await act(page, stage);
};
const press = (name) => (page) => page.getByRole("button", { name, exact: true }).first().click();
const sheet = async (page) => {
  await page.locator("#fleet-table button").nth(2).click();
  await page.locator("#device-certificates li").first().waitFor();
};

/** What is looked at: a name, what to do before the picture. */
const SCENES = [
  ["login", async (page) => { await page.locator("#log-out").click(); await page.locator("body[data-view=login]").waitFor(); }],
  ["overview", go("overview")],
  ["fleet", go("fleet")],
  ["fleet-none", go("fleet?text=nothing+like+it")],
  ["device", after("fleet", sheet)],
  ["beds", go("beds")],
  ["move", after("beds", async (page) => {
    await page.locator("#beds-table .small").first().click();
    await page.locator("#ask-bed").fill("ICU-2");
    await page.locator("#ask-ok").click();
    await page.locator("#ask-warning").filter({ hasText: "ICU-2" }).waitFor();
  })],
  ["batches", go("batches")],
  ["batch", go("batches?batch=3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30")],
  ["batch-new", after("batches", async (page) => page.locator("#batch-new").click())],
  ["certificates", go("certificates")],
  ["revoke", after("certificates", async (page) => page.locator("#certificates-table .small").first().click())],
  ["operators", go("operators")],
  ["once", after("operators", async (page) => {
    await page.locator("#operator-add").click();
    await page.locator("#ask-operator").fill("tara");
    await page.locator("#ask-ok").click();
    await page.locator("#once-password").filter({ hasText: "k" }).waitFor();
  })],
  ["audit", after("audit", async (page) => page.locator("#chain[data-tone=good]").waitFor())],
  ["audit-broken", async (page, stage) => {
    stage.intact = false;
    await go("audit")(page);
    await page.locator("#chain[data-tone=bad]").waitFor();
  }],
  ["policy", go("policy")],
  ["auditor", async (page, stage) => {
    stage.login = { operator: "audrey", role: "auditor" };
    await page.reload();
    await go("beds")(page);
  }],
  ["lost", after("fleet", async (page) => {
    await page.route("**/api/**", (route) => route.abort());
    await press("Next")(page).catch(() => {});
    await page.locator("#lost").filter({ hasText: "…" }).waitFor();
  })],
];

async function picture(browser, stage, name, act, [width, height], colorScheme, locale) {
  await stage.reset();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale, reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(stage.url);
  await page.locator("body[data-view=overview][data-fresh=true]").waitFor();
  await act(page, stage);
  const file = join(OUT, `console-${name}-${width}x${height}-${colorScheme}-${locale}.png`);
  await page.screenshot({ path: file });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) console.log(`${name} ${width}x${height} ${locale}: ${wide} px too wide`);
  await context.close();
  return file;
}

async function contactSheet(browser, name, files) {
  const page = await browser.newPage({ viewport: { width: 1900, height: 1000 } });
  const figures = await Promise.all(files.map(async (file) =>
    `<img src="data:image/png;base64,${(await readFile(file)).toString("base64")}">`));
  await page.setContent(`<style>body{margin:8px;background:#888;display:flex;flex-wrap:wrap;gap:8px}
    img{max-width:460px;max-height:620px;align-self:start}</style>${figures.join("")}`);
  const path = join(OUT, `sheet-console-${name}.png`);
  await page.screenshot({ path, fullPage: true });
  await page.close();
  return path;
}

await mkdir(OUT, { recursive: true });
const stage = await ConsoleStage.open();
const browser = await launch();
const only = process.argv.slice(2);
for (const [name, act] of SCENES) {
  if (only.length > 0 && !only.includes(name)) continue;
  const files = [];
  for (const scheme of SCHEMES) {
    for (const size of SIZES) files.push(await picture(browser, stage, name, act, size, scheme, "en"));
  }
  for (const locale of ["es", "de"]) files.push(await picture(browser, stage, name, act, [390, 844], "light", locale));
  console.log(await contactSheet(browser, name, files));
}
await browser.close();
stage.close();
