// After the build: what pdf.js reads beside its code, the licences of what the page holds, and a compressed copy of
// every file that gains by it.

import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const pdf = dirname(createRequire(import.meta.url).resolve('pdfjs-dist/package.json'));

// The decoders in WebAssembly are left out: the page's policy does not admit them.
const PARTS = [
  ['cmaps', 'cmaps', (name) => name.endsWith('.bcmap')],
  ['standard_fonts', 'fonts', (name) => /\.(pfb|ttf)$/.test(name)],
  ['wasm', 'decoders', (name) => name.endsWith('_nowasm_fallback.js')],
];

for (const [from, to, wanted] of PARTS) {
  const target = join(dist, 'pdf', to);
  await mkdir(target, { recursive: true });
  for (const name of (await readdir(join(pdf, from))).sort()) {
    if (wanted(name)) await cp(join(pdf, from, name), join(target, name));
  }
}

const LICENCES = [
  ['svelte (MIT)', join(root, 'node_modules/svelte/LICENSE.md')],
  ['pdfjs-dist (Apache-2.0)', join(pdf, 'LICENSE')],
  ['Character maps of pdfjs-dist', join(pdf, 'cmaps/LICENSE')],
  ['Foxit fonts of pdfjs-dist', join(pdf, 'standard_fonts/LICENSE_FOXIT')],
  ['Liberation fonts of pdfjs-dist', join(pdf, 'standard_fonts/LICENSE_LIBERATION')],
  ['OpenJPEG, as in pdfjs-dist', join(pdf, 'wasm/LICENSE_OPENJPEG')],
  ['Wrapper of OpenJPEG in pdfjs-dist', join(pdf, 'wasm/LICENSE_PDFJS_OPENJPEG')],
];
const texts = [];
for (const [title, path] of LICENCES) texts.push(`== ${title}\n\n${(await readFile(path, 'utf8')).trim()}\n`);
await writeFile(join(dist, 'third-party.txt'), texts.join('\n'));

async function* files(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

let count = 0;
let total = 0;
for await (const path of files(dist)) {
  if (path.endsWith('.gz')) continue;
  const bytes = await readFile(path);
  // No time and no name is written, so that the same input gives the same bytes.
  const packed = gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION });
  const gains = packed.length < bytes.length * 0.95;
  if (gains) await writeFile(`${path}.gz`, packed);
  count += 1;
  total += (await stat(path)).size;
}
console.log(`dist: ${count} files, ${(total / 1e6).toFixed(1)} MB`);
