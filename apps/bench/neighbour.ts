/**
 * `bench --neighbour`: decoding and prompts while another process keeps one processor fully busy, in turn with the same
 * undisturbed, and the engine's own choice of threads at last. The neighbour is bound to the first processor where the
 * system has `taskset`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { Engine, type Session } from '../../src/index.ts';
import { promptIds } from './peers/contender.ts';
import { medianOf } from './peers/median.ts';

const [rounds, decodedTokens, promptTokens] = [5, 96, 256];

interface Speeds {
  readonly decode: number[];
  readonly prompt: number[];
}

/** Markdown. */
export async function neighbourReport(path: string, threadCounts: readonly number[]): Promise<string> {
  const lines = [
    '| threads | decode alone, tokens/s | with a neighbour | kept | prompt alone, tokens/s | with a neighbour | kept |',
    '|---:|---:|---:|---:|---:|---:|---:|',
  ];
  for (const threads of [...threadCounts, undefined]) {
    const options = { contextLength: 512, ...(threads === undefined ? {} : { threads }) };
    await using engine = await Engine.load(path, options);
    await using session = await engine.session();
    const alone: Speeds = { decode: [], prompt: [] };
    const disturbed: Speeds = { decode: [], prompt: [] };
    await measure(session, { decode: [], prompt: [] });
    for (let round = 0; round < rounds; round++) {
      await measure(session, alone);
      const neighbour = await startNeighbour();
      try {
        await measure(session, disturbed);
      } finally {
        neighbour.kill('SIGKILL');
      }
    }
    const cells = (['decode', 'prompt'] as const).flatMap((kind) => {
      const [before, during] = [medianOf(alone[kind]), medianOf(disturbed[kind])];
      return [before.toFixed(1), during.toFixed(1), `${((100 * during) / before).toFixed(0)} %`];
    });
    lines.push(`| ${[threads ?? `default, ${engine.description.threads}`, ...cells].join(' | ')} |`);
  }
  return lines.join('\n');
}

async function measure(session: Session, speeds: Speeds): Promise<void> {
  const options = { ignoreEnd: true, temperature: 0, decoder: 'plain' } as const;
  await session.truncate(0);
  const prompt = await session.generate(promptIds(promptTokens), { ...options, maxTokens: 0 }).result();
  speeds.prompt.push(prompt.timings.prefillTokensPerSecond);
  await session.truncate(0);
  const text = await session.generate(promptIds(1), { ...options, maxTokens: decodedTokens }).result();
  speeds.decode.push(text.timings.decodeTokensPerSecond);
}

/** A process that computes without end, once it does. */
async function startNeighbour(): Promise<ChildProcess> {
  const work = [process.execPath, '-e', 'process.stdout.write("busy"); for (;;);'];
  const canBind = spawnSync('taskset', ['--version']).status === 0;
  const [command = '', ...parameters] = canBind ? ['taskset', '-c', '0', ...work] : work;
  const child = spawn(command, parameters, { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}
