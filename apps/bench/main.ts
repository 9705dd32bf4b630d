/**
 * `npm run bench`: the built command `nearfield bench`, and measurements that look below the engine:
 *
 *   --roofline     time per class of kernels beside what the machine gives at most
 *   --garbage      bytes of garbage per token
 *   --neighbour    speed beside a process that keeps one processor busy
 *
 * each with MODEL.gguf, or --shape and --format for random weights (134m, q4_0), and --threads (1,2); the first with
 * --cache f16|q8_0|f32, too.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hostGpu } from '../../src/base/platform.ts';
import { type CacheType, cacheTypes } from '../../src/graph.ts';
import { garbageReport } from './garbage.ts';
import type { ModelShapeName } from './model-shapes.ts';
import { neighbourReport } from './neighbour.ts';
import { rooflineReport } from './roofline.ts';
import { shapeFile, shapeNames } from './shape-file.ts';
import { softwareGpu } from './software-gpu.ts';

const reports = { roofline: rooflineReport, garbage: garbageReport, neighbour: neighbourReport } as const;
type ReportName = keyof typeof reports;

async function runReports(names: readonly ReportName[], parameters: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: parameters.filter((parameter) => !names.includes(parameter.slice(2) as ReportName)),
    allowPositionals: true,
    options: {
      shape: { type: 'string', default: '134m' },
      format: { type: 'string', default: 'q4_0' },
      threads: { type: 'string', default: '1,2' },
      cache: { type: 'string', default: 'f16' },
    },
  });
  const threads = values.threads.split(',').map(Number);
  for (const path of positionals.length > 0 ? positionals : await madeFiles(values)) {
    for (const name of names) {
      const report = await reports[name](path, threads, cacheTypeOf(values.cache));
      process.stdout.write(`## ${name}\n\n${report}\n\n`);
    }
  }
}

function cacheTypeOf(name: string): CacheType {
  const type = cacheTypes.find((candidate) => candidate === name);
  if (type) return type;
  throw new Error(`there is no cache type '${name}'; choose from ${cacheTypes.join(', ')}`);
}

async function madeFiles({ shape, format }: { shape: string; format: string }): Promise<string[]> {
  const paths: string[] = [];
  for (const name of shape.split(',')) {
    if (!(shapeNames as readonly string[]).includes(name)) {
      throw new Error(`there is no shape '${name}'; choose from ${shapeNames.join(', ')}`);
    }
    const onMake = (path: string): void => void process.stderr.write(`making ${path}\n`);
    for (const kind of format.split(','))
      paths.push(await shapeFile(name as ModelShapeName, kind, { onMake }));
  }
  return paths;
}

/** By name: `auto` takes no program for a GPU. */
function asksForGpu(parameters: readonly string[]): boolean {
  return parameters.some((parameter, index) => {
    const [option, value = parameters[index + 1] ?? ''] = parameter.split('=');
    return option === '--backend' && value.split(',').includes('webgpu');
  });
}

/** Where this machine has no GPU, with which a process finds a program that stands in for one. */
async function gpuEnvironment(): Promise<Readonly<Record<string, string>>> {
  if (await hostGpu()?.requestAdapter()) return {};
  const gpu = softwareGpu();
  const told = gpu
    ? 'no GPU here: webgpu computes on SwiftShader, a program, out of @sparticuz/chromium'
    : 'no GPU here, and no program for this system that stands in for one (SwiftShader, in @sparticuz/chromium for Linux x64)';
  process.stderr.write(`${told}\n`);
  return gpu?.environment ?? {};
}

/** As built, and in a process that holds nothing else: running from source takes memory of its own. */
async function runBuilt(): Promise<number> {
  const program = fileURLToPath(new URL('../../bin/nearfield.js', import.meta.url));
  const env = { ...process.env, ...(asksForGpu(parameters) ? await gpuEnvironment() : {}) };
  const child = spawn(process.execPath, [program, 'bench', ...parameters], { stdio: 'inherit', env });
  // Ctrl-C reaches both; this one waits for the other.
  process.on('SIGINT', () => {});
  const [code] = await once(child, 'close');
  return code ?? 1;
}

const parameters = process.argv.slice(2);
const names = (Object.keys(reports) as ReportName[]).filter((name) => parameters.includes(`--${name}`));
if (names.length > 0) await runReports(names, parameters);
else process.exitCode = await runBuilt();
