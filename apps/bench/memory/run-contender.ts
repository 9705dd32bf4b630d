/** Starts a contender in a process of its own, inside a memory cgroup where one is given. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RunResult, RunSpec } from './contender.ts';
import type { MemoryGroup } from './memory-group.ts';

const script = fileURLToPath(new URL('./child.ts', import.meta.url));

/** More than one thread of Node's pool would each get compute threads of their own from llama.cpp. */
const nativeEnvironment = { UV_THREADPOOL_SIZE: '1' };

export interface ContenderRun extends RunResult {
  /** Of the group, pages of files among them; undefined without one. */
  readonly peakBytes: number | undefined;
}

/** Throws what the contender failed with. */
export async function runContender(
  spec: RunSpec,
  group?: { readonly group: MemoryGroup; readonly limitBytes: number },
): Promise<ContenderRun> {
  group?.group.setLimit(group.limitBytes);
  const node = [process.execPath, script, JSON.stringify(spec)];
  // The shell joins the group and becomes the engine's process, so all that it ever holds is counted.
  const join = `echo $$ > "$0" && exec "$@"`;
  const [command = '', ...parameters] = group
    ? ['/bin/sh', '-c', join, group.group.processesFile, ...node]
    : node;
  const env = { ...process.env, ...(spec.kind === 'native' ? nativeEnvironment : {}) };
  const child = spawn(command, parameters, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let [output, remarks] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    remarks = (remarks + text).slice(-1000);
  });
  const [code, signal] = await once(child, 'close');
  const line = output.trim().split('\n').at(-1) ?? '';
  if (code !== 0 || line === '') {
    const reason = remarks.trim() || (signal === 'SIGKILL' ? 'out of memory' : `code ${code}, ${signal}`);
    throw new Error(`the process ended: ${reason}`);
  }
  return { ...(JSON.parse(line) as RunResult), peakBytes: group?.group.peakBytes() };
}
