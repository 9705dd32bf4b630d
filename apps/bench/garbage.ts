/**
 * `bench --garbage`: bytes that JavaScript allocates per token, in a process whose young generation is so large that
 * nothing is collected while tokens are counted: the heap's growth is all that was allocated.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Garbage } from './garbage/count-garbage.ts';

const flags = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];

/** Markdown. */
export async function garbageReport(path: string, threadCounts: readonly number[]): Promise<string> {
  const lines = [
    '| threads | tokens | executor, bytes per token | decoding loop and its token | engine and its text | with the default proposer | buffers outside the heap |',
    '|---:|---:|---:|---:|---:|---:|---:|',
  ];
  for (const threads of threadCounts) {
    const { tokens, stepBytes, loopBytes, textBytes, defaultBytes, externalBytes } = await countApart(
      path,
      threads,
    );
    const cells = [threads, tokens, stepBytes, loopBytes, textBytes, defaultBytes, externalBytes];
    lines.push(`| ${cells.map((value) => value.toFixed(0)).join(' | ')} |`);
  }
  return lines.join('\n');
}

function countApart(path: string, threads: number): Promise<Garbage> {
  const script = fileURLToPath(new URL('./garbage/count-garbage.ts', import.meta.url));
  const child = fork(script, [path, `${threads}`], { execArgv: flags });
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Garbage));
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`counting garbage ended with ${code}`)));
  });
}
