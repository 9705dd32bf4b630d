#!/usr/bin/env node
// Starts the built command line; it needs nothing but dist/.
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  process.stderr.write('nearfield: not built yet; run "npm run build" first (after "npm install")\n');
  process.exitCode = 1;
}
