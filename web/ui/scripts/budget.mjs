// Refuses a page that has grown beyond what was agreed (KiB, compressed).

import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');
const index = await readFile(join(dist, 'index.html'), 'utf8');
const names = (await readdir(join(dist, 'assets'))).filter((name) => !name.endsWith('.gz'));
const first = new Set([...index.matchAll(/assets\/([^"']+)/g)].map((match) => match[1]));

async function packed(chosen) {
  let sum = 0;
  for (const name of chosen) sum += gzipSync(await readFile(join(dist, 'assets', name)), { level: 9 }).length;
  return sum / 1024;
}

const script = (name) => name.endsWith('.js');
const worker = (name) => name.startsWith('worker-');
const rows = [
  ['first load, scripts', 60, names.filter((name) => first.has(name) && script(name))],
  ['first load, styles', 10, names.filter((name) => name.endsWith('.css'))],
  ['loaded later, scripts', 125, names.filter((name) => !first.has(name) && script(name) && !worker(name))],
  ['worker of pdf.js', 365, names.filter(worker)],
];

let over = false;
for (const [what, budget, chosen] of rows) {
  const size = await packed(chosen);
  const state = chosen.length === 0 ? 'MISSING' : size > budget ? 'OVER' : 'ok';
  over ||= state !== 'ok';
  console.log(`${state.padEnd(8)}${what.padEnd(30)}${size.toFixed(1).padStart(7)} KiB of ${budget} KiB`);
}
if (/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/.test(index)) {
  console.log('OVER    index.html holds an inline script or style, which the policy refuses');
  over = true;
}
process.exitCode = over ? 1 : 0;
