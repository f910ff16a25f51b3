// The pictures of docs/guide-technician.md, taken from the screenshot run: `npm run guide`.

import { copyFile, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ROOT, TARGET } from "./rig.js";

const TO = join(ROOT, "docs/pictures");
const MOST = 80 * 1024;
const PICTURES = {
  "monitor-not-provisioned": "not-provisioned-800x480-light",
  "monitor-pin": "pin-pad-800x480-light",
  "monitor-ready": "ready-800x480-light",
  "monitor-blinking": "blinking-800x480-light",
  "monitor-confirm": "confirm-800x480-light",
  "monitor-provisioned": "provisioned-800x480-light",
  "monitor-error": "error-800x480-light",
  "tablet-typed": "tablet-typed-1024x768-light-en",
  "tablet-bed": "tablet-bed-1024x768-light-en",
  "tablet-courier": "tablet-courier-1024x768-light-en",
  "tablet-steps": "tablet-steps-1024x768-light-en",
  "tablet-paired": "tablet-paired-1024x768-light-en",
  "tablet-failed": "tablet-failed-1024x768-light-en",
};

await mkdir(TO, { recursive: true });
for (const [name, from] of Object.entries(PICTURES)) {
  const file = join(TO, `${name}.png`);
  await copyFile(join(TARGET, "screenshots", `${from}.png`), file);
  const { size } = await stat(file);
  if (size > MOST) throw new Error(`${file} has ${size} bytes`);
}
console.log(`${Object.keys(PICTURES).length} pictures in ${TO}`);
