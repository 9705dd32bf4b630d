/** Chat templates: messages to the text of a prompt, by the Jinja template that a model file carries. */
import { NearfieldError } from '../base/error.ts';
import type { Metadata } from '../checkpoint.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { Environment, type Node, parseTemplate } from './jinja-library.ts';
import { TemplateBudget } from './template-budget.ts';
import { templateGlobals } from './template-globals.ts';
import { BudgetInterpreter } from './template-interpreter.ts';

/** Beyond `role` and `content`, whatever fields the model's template reads (`tool_calls`, `name`, …). */
export interface ChatMessage {
  readonly role: string;
  /** Text, or parts where the template knows them. */
  readonly content?: string | null | readonly object[];
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** Whether the text ends with the opening of the assistant's answer (true). */
  readonly addGenerationPrompt?: boolean;
  /** Descriptions of functions the model may call, as JSON schema. */
  readonly tools?: readonly object[];
  /** Further variables of the template (`enable_thinking`, …); these win over all others. */
  readonly variables?: { readonly [name: string]: unknown };
  /** What `strftime_now` goes by (the present). */
  readonly now?: Date;
}

export interface ChatTemplate {
  /** Jinja source; empty for a template that is not Jinja. */
  readonly source: string;
  /**
   * The prompt's text. It spells special tokens, BOS often among them: encode it with `special: true`, and add BOS only
   * where it does not begin with it. Throws `bad-argument` where the template rejects the messages, `bad-file` where it
   * is no valid template or takes more time or memory than any real one.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** Undefined where the metadata has no template. A broken template fails when it renders, not here. */
export function openChatTemplate(metadata: Metadata, tokenizer: Tokenizer): ChatTemplate | undefined {
  const key = 'tokenizer.chat_template';
  if (!metadata.has(key)) return undefined;
  const plain = new JinjaTemplate(metadata.string(key), tokenizer);
  if (!metadata.has(`${key}.tool_use`)) return plain;
  const withTools = new JinjaTemplate(metadata.string(`${key}.tool_use`), tokenizer);
  return {
    source: plain.source,
    render: (messages, options = {}) => (options.tools ? withTools : plain).render(messages, options),
  };
}

/** For a model without a template: ChatML where the vocabulary has its markers, else the contents by paragraph. */
export function fallbackTemplate(tokenizer: Tokenizer): ChatTemplate {
  const isToken = (text: string): boolean => tokenizer.encode(text, { special: true }).length === 1;
  const chatMl = isToken('<|im_start|>') && isToken('<|im_end|>');
  return {
    source: '',
    render: (messages, options = {}) => {
      const texts = messages.map(({ content }) => textOf(content));
      if (!chatMl) return texts.join('\n\n');
      const turns = messages.map(
        ({ role }, index) => `<|im_start|>${role}\n${texts[index] ?? ''}<|im_end|>\n`,
      );
      return turns.join('') + (options.addGenerationPrompt === false ? '' : '<|im_start|>assistant\n');
    },
  };
}

/** The text of a message's content; of parts, those that have a text. */
function textOf(content: ChatMessage['content']): string {
  if (typeof content === 'string') return content;
  const parts: readonly { text?: unknown }[] = content ?? [];
  return parts.map(({ text }) => (typeof text === 'string' ? text : '')).join('');
}

const maxSourceLength = 512 * 1024;
/** The library's preparation of the source takes quadratic time in runs of white space. */
const maxSpaceRun = 1024;

class JinjaTemplate implements ChatTemplate {
  readonly source: string;
  readonly #tokenizer: Tokenizer;
  #program: Node | undefined;

  constructor(source: string, tokenizer: Tokenizer) {
    this.source = source;
    this.#tokenizer = tokenizer;
  }

  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { bos, eos } = this.#tokenizer;
    const input = {
      messages,
      // Absent lists are `none`, as in Hugging Face's renderer: templates test for it.
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      bos_token: bos === undefined ? '' : this.#tokenizer.piece(bos),
      eos_token: eos === undefined ? '' : this.#tokenizer.piece(eos),
      ...options.variables,
    };
    try {
      this.#program ??= parse(this.source);
      const budget = new TemplateBudget();
      budget.admit(input);
      const scope = new Environment();
      const variables = new Map([
        ...templateGlobals(budget, options.now ?? new Date()),
        ...Object.entries(input),
      ]);
      for (const [name, value] of variables) {
        scope.variables.delete(name);
        scope.set(name, value);
      }
      return String(new BudgetInterpreter(scope, budget, this.#program).run(this.#program).value);
    } catch (error) {
      if (error instanceof NearfieldError) throw error;
      // The library and this host's stack bound how deep a template may nest.
      const reason =
        error instanceof RangeError
          ? 'it is nested too deeply'
          : String(error instanceof Error ? error.message : error);
      throw new NearfieldError(
        'bad-file',
        `The chat template fails: ${reason.replaceAll(/\s+/g, ' ').slice(0, 200)}; render with another template`,
        { cause: error },
      );
    }
  }
}

function parse(source: string): Node {
  let run = 0;
  for (let at = 0; at < source.length && run <= maxSpaceRun; at++)
    run = /\s/.test(source.charAt(at)) ? run + 1 : 0;
  if (source.length > maxSourceLength || run > maxSpaceRun) {
    throw new NearfieldError(
      'bad-file',
      `The chat template has ${source.length} characters or long runs of space; at most ${maxSourceLength} and ${maxSpaceRun} are accepted`,
    );
  }
  return parseTemplate(source);
}
