// Every view in every state: what axe finds, how large things are, what hostile texts do.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch, open } from "../rig.js";
import { Stage, views } from "../stage.js";

/** States that differ on the status view. */
const STATUS = ["not-provisioned", "provisioned", "disconnected"];
/** States with the most to show. */
const LARGEST = {
  "#provisioning": ["not-provisioned", "manual", "confirm", "blinking", "ready-simulate", "reprovisioning", "error", "provisioned"],
  "#status": ["provisioned"],
};
const SIZES = [[800, 480], [1024, 768], [390, 844], [1440, 900]];
const QR = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 93 93"><path fill="#fff" d="M0 0h93v93H0z"/></svg>`;
/** Cap height of capital letters and digits, as a part of the font size. */
const CAP = 0.7;

let browser;
let stage;
let all;
let axe;

before(async () => {
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  [browser, stage, all] = await Promise.all([launch(), Stage.open(), views()]);
});
after(async () => {
  await browser?.close();
  stage?.close();
});

async function show(view, options = {}, hash = "") {
  stage.show(view, view.status.pairingCode ? QR : "");
  const { page, faults } = await open(browser, stage.url + hash, options);
  await page.locator("body[data-phase=live]").waitFor();
  return { page, faults };
}

async function violations(page) {
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: { type: "tag", values: tags } }),
    tags,
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

test("axe finds nothing in any view, light or dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { page } = await show(all.ready, { colorScheme, reducedMotion: "reduce" });
    await page.locator("#qr img").evaluate((image) => image.removeAttribute("alt"));
    assert.equal((await violations(page)).length, 1, "axe sees what is wrong");
    for (const [hash, names] of Object.entries({ "#provisioning": Object.keys(all), "#status": STATUS })) {
      for (const name of names) {
        const view = all[name];
        stage.show(view, view.status.pairingCode ? QR : "");
        await page.goto("about:blank");
        await page.goto(stage.url + hash);
        await page.locator("body[data-phase=live]").waitFor();
        assert.deepEqual(await violations(page), [], `${name} ${hash} ${colorScheme}`);
      }
    }
    await page.context().close();
    const { page: pad } = await show(all["not-provisioned"], { colorScheme });
    await pad.locator("[data-action=enter]").click();
    await pad.locator("#pin-pad[open]").waitFor();
    assert.deepEqual(await violations(pad), [], `PIN pad ${colorScheme}`);
    await pad.context().close();
  }
});

test("nothing is wider than the screen, and nothing is smaller than a finger", async () => {
  for (const [width, height] of SIZES) {
    const { page } = await show(all.ready, { viewport: { width, height } });
    for (const language of ["EN", "ES", "DE"]) {
      for (const [hash, names] of Object.entries(LARGEST)) {
        for (const name of names) {
          stage.show({ ...all[name], language }, all[name].status.pairingCode ? QR : "");
          await page.goto("about:blank");
          await page.goto(stage.url + hash);
          await page.locator("body[data-phase=live]").waitFor();
          const found = await page.evaluate(() => {
            const root = document.documentElement;
            const targets = [...document.querySelectorAll("a, button")].filter((target) => target.checkVisibility());
            return {
              wide: root.scrollWidth - root.clientWidth,
              high: root.scrollHeight - root.clientHeight,
              small: targets
                .map((target) => [target.textContent, target.getBoundingClientRect()])
                .filter(([, box]) => box.width < 44 || box.height < 44)
                .map(([text]) => text),
              cut: [...document.querySelectorAll("#code, button, .indicator, #time")]
                .filter((place) => place.checkVisibility() && place.scrollWidth > place.clientWidth + 1)
                .map((place) => place.textContent),
            };
          });
          const where = `${name} ${hash} ${language} ${width}x${height}`;
          assert.deepEqual({ ...found, high: 0 }, { wide: 0, high: 0, small: [], cut: [] }, where);
          if (width === 800) assert.equal(found.high, 0, `${where}: nothing scrolls on the panel`);
        }
      }
    }
    await page.context().close();
  }
});

test("code, countdown and QR code are readable from the foot of the bed", async () => {
  const { page } = await show(all.ready);
  const size = (id) => page.locator(id).evaluate((place) => parseFloat(getComputedStyle(place).fontSize));
  // A panel of 7 inches has 0.19 mm a pixel; 16 minutes of arc at 2 m are 9.3 mm for reading at
  // ease, and half of that is what a sharp eye needs.
  const millimetres = (pixels) => pixels * CAP * 0.19;
  assert.ok(millimetres(await size("#code")) >= 7, "pairing code");
  assert.ok(millimetres(await size("#time")) >= 4.65, "countdown");
  const box = await page.locator("#qr img").boundingBox();
  assert.equal(box.width % 93, 0, "whole pixels a module");
  assert.ok(box.width >= 372, "four pixels a module on the panel");
  await page.context().close();
});

test("the page speaks the language of the configuration", async () => {
  const expected = {
    EN: ["Re-provision Device", "en"],
    ES: ["Volver a aprovisionar", "es"],
    DE: ["Gerät neu einrichten", "de"],
    FR: ["Re-provision Device", "en"],
  };
  for (const [language, [words, tag]] of Object.entries(expected)) {
    const { page } = await show({ ...all.provisioned, language });
    assert.equal(await page.locator("[data-action=reprovision]").textContent(), words);
    assert.equal(await page.locator("html").getAttribute("lang"), tag);
    await page.context().close();
  }
});

test("the reading is in the chosen unit and called a sample", async () => {
  for (const [measurementUnit, expected] of [["METRIC", "36.8 °C"], ["IMPERIAL", "98.2 °F"]]) {
    const { page } = await show({ ...all.provisioned, measurementUnit }, {}, "#status");
    assert.equal(await page.locator("#reading").textContent(), expected);
    assert.equal(await page.locator(".tag").textContent(), "Sample");
    await page.context().close();
  }
});

test("a monitor that is looked for says so over everything else, still or at most once a second", async () => {
  for (const hash of ["#provisioning", "#status"]) {
    const { page } = await show(all.blinking, { reducedMotion: "no-preference" }, hash);
    const covers = () => page.locator("#blink").evaluate((place) => {
      const box = place.getBoundingClientRect();
      const shown = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
      return [box.width === innerWidth && box.height === innerHeight, place.contains(shown)];
    });
    assert.deepEqual(await covers(), [true, true]);
    const said = await page.locator("#blink").textContent();
    for (const words of ["This is the monitor you scanned", all.blinking.status.deviceId, all.blinking.deviceSerial]) {
      assert.ok(said.includes(words), words);
    }
    const motion = () => page.locator("#blink").evaluate((place) => {
      const { animationName, animationDuration } = getComputedStyle(place);
      return [animationName, animationDuration];
    });
    assert.deepEqual(await motion(), ["blink", "1s"]);
    await page.emulateMedia({ reducedMotion: "reduce" });
    assert.equal((await motion())[0], "none");
    await page.context().close();
  }
  const { page } = await show(all.pairing);
  assert.ok(await page.locator("#blink").isHidden());
  await page.context().close();
});

test("an error says cause, step, side and what to do", async () => {
  const { page } = await show(all.error);
  const card = await page.locator("#error").innerText();
  const { lastError } = all.error.status;
  for (const part of [lastError.title, lastError.next, lastError.code, "Verification", "Central Station"]) {
    assert.ok(card.includes(part), part);
  }
  assert.equal(await page.locator("#error").getAttribute("role"), "alert");
  await page.context().close();
});

test("texts of others stay texts", async () => {
  const evil = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  const view = structuredClone(all.provisioned);
  Object.assign(view.status, { deviceLabel: evil, bedId: evil, deviceId: evil, message: evil, serverUrl: `javascript:${evil}` });
  view.status.lastError = { ...all.error.status.lastError, title: evil, next: evil, code: evil, field: evil, rule: evil };
  for (const hash of ["", "#status"]) {
    const { page, faults } = await show(view, {}, hash);
    assert.equal(await page.locator("main img[src=x], header img, script:not([src])").count(), 0);
    assert.ok(!(await page.title()).includes("owned"));
    assert.deepEqual(faults, []);
    await page.context().close();
  }
});

test("code and countdown stand as the document shows them, and are read out symbol by symbol", async () => {
  const { page } = await show(all.ready);
  assert.equal(await page.locator("#code span").first().textContent(), "ABC-123-XYZ");
  assert.equal(await page.locator("#time").textContent(), "8:45 remaining");
  assert.equal(await page.locator("#code .unseen").textContent(), "A B C 1 2 3 X Y Z");
  await page.context().close();
});

test("who confirms a station sends the words that were on the screen, and refusing needs no PIN", async () => {
  const pressed = [];
  const { page } = await show(all.confirm);
  page.on("request", (request) => request.method() === "POST" && pressed.push(request.postDataJSON()));
  const { words, stationName } = all.confirm.status.confirmation;
  assert.equal(await page.locator("#words").textContent(), words);
  assert.equal(await page.locator("#confirm-station").textContent(), stationName);
  assert.match(await page.locator("#confirmation").textContent(), /not verified/);
  await page.locator("[data-action=confirmStation]").click();
  await page.locator("#pin-pad[open]").waitFor();
  await page.locator("input[name=operator][value=tina]").check();
  await page.locator("#pin").fill("483920");
  await page.locator("#pin-ok").click();
  await page.locator("#pin-pad:not([open])").waitFor({ state: "attached" });
  await page.locator("[data-action=refuseStation]").click();
  await page.waitForTimeout(100);
  const proof = { operator: "tina", pin: "483920", words };
  assert.deepEqual(pressed, [{ confirmStation: proof }, { refuseStation: {} }]);
  await page.context().close();
});
