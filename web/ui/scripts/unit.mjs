// Compiles the unit tests and what they test, then runs them with node's own runner.

import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'test-results/unit');
rmSync(out, { recursive: true, force: true });
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
const compiled = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.unit.json'], { cwd: root, stdio: 'inherit' });
if (compiled.status !== 0) process.exit(1);
writeFileSync(join(out, 'package.json'), '{"type":"module"}\n');
const folder = join(out, 'tests/unit');
const tests = readdirSync(folder)
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => join(folder, name));
process.exit(spawnSync(process.execPath, ['--test', ...tests], { cwd: root, stdio: 'inherit' }).status ?? 1);
