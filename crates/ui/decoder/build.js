// Makes the files of ../assets/tablet/decoder: `npm ci --ignore-scripts && npm run build`. They are
// committed; cargo never calls node. CI builds them again and compares every byte.

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here("../assets/tablet/decoder");
const wasm = createRequire(import.meta.url).resolve("zxing-wasm/reader/zxing_reader.wasm");

// What the package would load from elsewhere, were it not told where its file is.
const CDN = /`https:\/\/[a-z.]*jsdelivr\.net[^`]*`/g;
const local = {
  name: "local",
  setup({ onLoad }) {
    onLoad({ filter: /zxing-wasm.*\.js$/ }, async ({ path }) => {
      const contents = await readFile(path, "utf8");
      return { contents: contents.replace(CDN, '""'), loader: "js" };
    });
  },
};

await mkdir(out, { recursive: true });
const { outputFiles: [file] } = await build({
  entryPoints: [here("worker.js")],
  bundle: true,
  format: "iife",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  target: "es2021",
  write: false,
  plugins: [local],
});
if (/\w+:\/\/\w/.test(file.text)) throw new Error("the bundle names a place elsewhere");
await writeFile(`${out}/worker.js`, `// Made by crates/ui/decoder/build.js. Licences: LICENSES.txt\n${file.text}`);
await copyFile(wasm, `${out}/zxing_reader.wasm`);

const licence = await readFile(here("node_modules/zxing-wasm/LICENSE"), "utf8");
const apache = await readFile(here("../../../LICENSE-APACHE"), "utf8");
const { version } = JSON.parse(await readFile(here("node_modules/zxing-wasm/package.json"), "utf8"));
await writeFile(`${out}/LICENSES.txt`, `worker.js and zxing_reader.wasm are made of zxing-wasm ${version} and hold:

- zxing-wasm, MIT, https://github.com/Sec-ant/zxing-wasm
- ZXing-C++ and its bindings, Apache-2.0, https://github.com/zxing-cpp/zxing-cpp

${licence}
${apache}`);
