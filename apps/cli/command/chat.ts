/** `chat`: a conversation in the terminal, or one turn per line that is piped in. */
import type { Command } from 'commander';
import { type Engine, type GenerateOptions, NearfieldError, type Session } from '../../../src/index.ts';
import { Conversation } from '../conversation.ts';
import { failureOf } from '../failure.ts';
import { addGenerationOptions, type GenerationFlags, generateOptionsOf } from '../generation-options.ts';
import type { Host } from '../host.ts';
import { openLineReader } from '../line-reader.ts';
import {
  addDecoderOptions,
  addModelOptions,
  type DecoderFlags,
  decoderOptionsOf,
  loadModel,
  type ModelFlags,
} from '../model-options.ts';
import { bundledModelPath } from '../package-files.ts';
import { openProgressBar } from '../progress-bar.ts';
import { openShownText } from '../shown-text.ts';

interface ChatFlags extends ModelFlags, DecoderFlags, GenerationFlags {
  readonly system?: string;
}

const lineHelp = `/help        this list
/clear       forget what was said
/save FILE   write the conversation to a file
/load FILE   go on with a saved conversation
/exit        leave (so does Ctrl-D)
Ctrl-C       stops an answer; again, it leaves`;

export function addChatCommand(program: Command, host: Host): void {
  const command = program
    .command('chat')
    .description("hold a conversation, with the model's own template")
    .argument(
      '[model]',
      'path or URL of a GGUF file, or of a folder that transformers saved (default: the small model of tales that comes with nearfield)',
    )
    .option('--system <text>', 'said to the model before everything else');
  addModelOptions(addDecoderOptions(addGenerationOptions(command, 1024)));
  command.addHelpText(
    'after',
    `
Lines that begin with a slash are commands:
${lineHelp.replace(/^/gm, '  ')}

Lines may be piped in; each is answered. With --json every answer is one line: an object with role, content, tokens,
finish and timings.`,
  );
  command.action((model: string | undefined, flags: ChatFlags) => chat(model, flags, host));
}

async function chat(model: string | undefined, flags: ChatFlags, host: Host): Promise<void> {
  await using loaded = await loadModel(model ?? bundledModelPath(), flags, host);
  await using session = await loaded.engine.session();
  const talk = new Talk(loaded.engine, session, flags, host);
  using _ = host.onInterrupt(() => talk.interrupt());
  await talk.run();
  host.signal.throwIfAborted();
}

class Talk {
  readonly #engine: Engine;
  readonly #session: Session;
  readonly #flags: ChatFlags;
  readonly #host: Host;
  readonly #conversation: Conversation;
  /** Of the answer under way. */
  #stop: AbortController | undefined;

  constructor(engine: Engine, session: Session, flags: ChatFlags, host: Host) {
    this.#engine = engine;
    this.#session = session;
    this.#flags = flags;
    this.#host = host;
    this.#conversation = new Conversation(flags.system);
  }

  /** Whether there was an answer to stop. */
  interrupt(): boolean {
    const stop = this.#stop;
    if (!stop || stop.signal.aborted) return false;
    stop.abort();
    return true;
  }

  async run(): Promise<void> {
    const { isInputTerminal, signal } = this.#host;
    // Goes the way of a signal, so that the host counts it.
    using lines = openLineReader(isInputTerminal, () => void process.emit('SIGINT', 'SIGINT'));
    const leave = (): void => lines[Symbol.dispose]();
    signal.addEventListener('abort', leave);
    if (isInputTerminal) this.#greet();
    while (!signal.aborted) {
      const line = (await lines.next('> '))?.trim();
      if (line === undefined || line === '/exit' || line === '/quit') return;
      if (line !== '') await this.#take(line);
    }
  }

  #greet(): void {
    const { name, source, hasChatTemplate } = this.#engine.description;
    this.#host.note(`${name || source}. /help lists what else there is to say.`);
    if (!hasChatTemplate) this.#host.note('The model brings no chat template; a plain one is used.');
  }

  /** A person can try again after an error; a program that pipes lines in is told by the exit code. */
  async #take(line: string): Promise<void> {
    try {
      if (line.startsWith('/')) await this.#command(line);
      else await this.#answer(line);
    } catch (error) {
      if (!this.#host.isInputTerminal || this.#host.signal.aborted) throw error;
      this.#host.note(`nearfield: ${failureOf(error)?.message}`);
    }
  }

  async #command(line: string): Promise<void> {
    const [, name = '', argument = ''] = /^\/(\S*)\s*(.*)$/.exec(line) ?? [];
    const path = (): string => {
      if (argument === '') throw new NearfieldError('bad-argument', `/${name} needs the name of a file`);
      return argument;
    };
    if (name === 'help') this.#host.note(lineHelp);
    else if (name === 'clear') this.#conversation.clear();
    else if (name === 'save') await this.#conversation.save(path());
    else if (name === 'load') await this.#conversation.load(path());
    else throw new NearfieldError('bad-argument', `There is no command /${name}; /help lists them`);
  }

  async #answer(line: string): Promise<void> {
    const { messages } = this.#conversation;
    const length = messages.length;
    messages.push({ role: 'user', content: line });
    const stop = new AbortController();
    this.#stop = stop;
    try {
      const content = await this.#generate(AbortSignal.any([stop.signal, this.#host.signal]));
      messages.push({ role: 'assistant', content });
    } catch (error) {
      messages.length = length;
      if (!stop.signal.aborted) throw error;
    } finally {
      this.#stop = undefined;
    }
  }

  async #generate(signal: AbortSignal): Promise<string> {
    const host = this.#host;
    const bar = openProgressBar();
    const options: GenerateOptions = {
      ...generateOptionsOf(this.#flags),
      ...decoderOptionsOf(this.#flags, host),
      signal,
      onPrompt: ({ doneRows, totalRows }) =>
        bar.update('reading', doneRows, totalRows, `${totalRows} tokens`),
    };
    try {
      const generation = this.#session.generate(this.#conversation.messages, options);
      if (!this.#flags.json) await openShownText(host).addAll(generation, () => bar.clear());
      const { text, tokens, finish, timings } = await generation.result();
      const line = this.#flags.json
        ? JSON.stringify({ role: 'assistant', content: text, tokens, finish, timings })
        : '';
      await host.write(`${line}\n`);
      if (finish === 'context') host.note('nearfield: the context is full; /clear makes room');
      return text.trim();
    } finally {
      bar.clear();
    }
  }
}
