/** The commands, and how a call of the command line ends. */
import { Command } from 'commander';
import { addBenchCommand } from './command/bench.ts';
import { addCalibrateCommand } from './command/calibrate.ts';
import { addChatCommand } from './command/chat.ts';
import { addInspectCommand } from './command/inspect.ts';
import { addPerplexityCommand } from './command/perplexity.ts';
import { addQuantizeCommand } from './command/quantize.ts';
import { addRunCommand } from './command/run.ts';
import { exitCodes, failureOf, stackOf } from './failure.ts';
import { type Host, openProcessHost, type ProcessHost } from './host.ts';
import { packageVersion } from './package-files.ts';

/** One line per command. */
const commands: readonly ((program: Command, host: Host) => void)[] = [
  addRunCommand,
  addChatCommand,
  addInspectCommand,
  addBenchCommand,
  addPerplexityCommand,
  addQuantizeCommand,
  addCalibrateCommand,
];

/** Runs one call; never throws. Returns the exit code. */
export async function runCommandLine(parameters: readonly string[]): Promise<number> {
  const host = openProcessHost();
  try {
    await buildProgram(host).parseAsync([...parameters], { from: 'user' });
    if (host.outputFailure) throw host.outputFailure;
    return host.interruptedCode ?? exitCodes.success;
  } catch (error) {
    return await reportFailure(host.outputFailure ?? error, parameters, host);
  } finally {
    host.close();
  }
}

function buildProgram(host: Host): Command {
  const program = new Command('nearfield')
    .description('Runs large language models (GGUF files, folders of safetensors) on this machine.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ sortSubcommands: false });
  for (const add of commands) add(program, host);
  program.addHelpText(
    'after',
    `
Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted. "nearfield <command> --help" tells more.`,
  );
  return program;
}

async function reportFailure(
  error: unknown,
  parameters: readonly string[],
  host: ProcessHost,
): Promise<number> {
  const failure = failureOf(error);
  if (!failure) return exitCodes.success;
  const { interruptedCode } = host;
  const has = (flag: string): boolean => parameters.includes(flag);
  const { code, message } =
    interruptedCode === undefined ? failure : { code: 'aborted', message: 'interrupted' };
  if (has('--json')) await host.write(`${JSON.stringify({ error: { code, message } })}\n`);
  if (interruptedCode === undefined) host.note(`nearfield: ${message}`);
  if (has('--verbose') && failure.exitCode !== exitCodes.usage) host.note(stackOf(error));
  return interruptedCode ?? failure.exitCode;
}
