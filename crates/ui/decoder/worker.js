// The QR decoder in a worker of its own: pictures in, texts out, nothing else.

import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";

const OPTIONS = { formats: ["QRCode"], tryHarder: true, maxNumberOfSymbols: 4 };

// Beside this file, and nowhere else.
const locateFile = (name) => new URL(name, self.location.href).href;
const ready = prepareZXingModule({ overrides: { locateFile }, fireImmediately: true });

self.addEventListener("message", async ({ data: { id, pixels, width, height } }) => {
  try {
    await ready;
    const image = new ImageData(new Uint8ClampedArray(pixels), width, height);
    const found = await readBarcodes(image, OPTIONS);
    const texts = found.filter(({ isValid }) => isValid).map(({ text }) => text);
    self.postMessage({ id, texts });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
});
