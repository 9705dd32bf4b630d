/** A process with one engine in it, started by `run-contender.ts`; prints what it measured as a line of JSON. */
import type { RunSpec } from './contender.ts';
import { runNative } from './run-native.ts';
import { runNearfield } from './run-nearfield.ts';

const spec = JSON.parse(process.argv[2] ?? '{}') as RunSpec;
try {
  const result = spec.kind === 'native' ? await runNative(spec) : await runNearfield(spec);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  // llama.cpp's threads would keep the process.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
