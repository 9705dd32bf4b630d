/** Runs a command of this program in a process of its own. */
import { spawn } from 'node:child_process';
import { type ErrorCode, NearfieldError } from '../../src/index.ts';

/** What it wrote to standard output. `parameters` ask for JSON; throws what the command failed with. */
export function runOwnCommand(parameters: readonly string[], signal: AbortSignal): Promise<string> {
  const [, program = ''] = process.argv;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, program, ...parameters], {
      stdio: ['ignore', 'pipe', 'ignore'],
      signal,
      killSignal: 'SIGINT',
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (code, killedBy) => {
      if (code === 0) resolve(output);
      else
        reject(
          errorIn(output) ?? new NearfieldError('backend', `The process ended with ${code ?? killedBy}`),
        );
    });
  });
}

/** The error that a command wrote as JSON. */
function errorIn(output: string): NearfieldError | undefined {
  try {
    const { error } = JSON.parse(output) as { error?: { code: ErrorCode; message: string } };
    return error && new NearfieldError(error.code, error.message);
  } catch {
    return undefined;
  }
}
