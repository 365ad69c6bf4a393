// Writes ../static: one entry (app.js, app.css), the viewer as a chunk that is loaded when it is needed, the decoder of
// point clouds as a worker, and the licences of what is inside. Equal sources and lockfile give equal bytes.
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(here, process.argv[2] ?? "../static");

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.ts", decode: "src/view/decode.ts" },
  outdir: out,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "ascii",
  legalComments: "none", // THIRD_PARTY.txt has them all
  entryNames: "[name]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".wasm": "file" },
  alias: { "laz-perf": "./src/view/nothing.ts", "cross-fetch": "./src/view/nothing.ts" },
  define: { "process.env.NODE_ENV": '"production"' },
  metafile: true,
  write: false,
});

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
for (const file of result.outputFiles) await writeFile(file.path, file.contents);
for (const name of ["index.html", "icon.svg"]) await copyFile(join(here, "src", name), join(out, name));
await writeFile(join(out, "THIRD_PARTY.txt"), await thirdParty(Object.keys(result.metafile.inputs)));

/** Name, version and licence of every package that went in, by name. */
async function thirdParty(inputs) {
  const found = inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean);
  const parts = ["The page holds code of these packages.\n"];
  for (const name of [...new Set(found)].sort()) {
    const folder = join(here, "node_modules", name);
    const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).sort().find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(join(folder, file), "utf8") : await standard(name, about.license);
    parts.push(`${"=".repeat(72)}\n${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
  }
  return parts.join("\n");
}

/** A package that names the Apache licence and does not bring its text. */
async function standard(name, license) {
  if (license !== "Apache-2.0") throw new Error(`${name} has no licence file`);
  return readFile(join(here, "LICENSE.apache.txt"), "utf8");
}
