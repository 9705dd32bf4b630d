/** Errors as the command line reports them: one line, an exit code, and an object where JSON was asked for. */
import { CommanderError } from 'commander';
import { NearfieldError } from '../../src/index.ts';

export const exitCodes = { success: 0, error: 1, usage: 2, interrupted: 130, terminated: 143 } as const;

/** The command line itself is wrong. */
export class UsageError extends Error {}

export interface Failure {
  readonly exitCode: number;
  /** For programs: a code of `NearfieldError`, `usage` or `internal`. */
  readonly code: string;
  /** One line. */
  readonly message: string;
}

/** Undefined where nothing is wrong: help or the version was asked for. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return undefined;
    const message = error.message.replace(/^error: /, '');
    const isBare = error.code === 'commander.help';
    return {
      exitCode: exitCodes.usage,
      code: 'usage',
      message: isBare ? 'give a command' : oneLine(message),
    };
  }
  const message = oneLine(error instanceof Error ? error.message : String(error));
  if (error instanceof UsageError) return { exitCode: exitCodes.usage, code: 'usage', message };
  if (error instanceof NearfieldError) return { exitCode: exitCodes.error, code: error.code, message };
  return { exitCode: exitCodes.error, code: 'internal', message: `${message} (--verbose shows where)` };
}

/** Where it happened, for `--verbose`: stacks of the error and of its causes. */
export function stackOf(error: unknown): string {
  const stacks: string[] = [];
  for (let cause = error; cause !== undefined && stacks.length < 8; ) {
    stacks.push(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return stacks.join('\ncaused by ');
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').trim();
