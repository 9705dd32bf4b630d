/** Options that shape a generated text. */
import type { Command } from 'commander';
import type { GenerateOptions } from '../../src/index.ts';
import { addLogitBias, addText, realNumber, wholeNumber } from './option-values.ts';

export interface GenerationFlags {
  readonly nPredict: number;
  readonly temp: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly repeatLastN: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly logitBias?: ReadonlyMap<number, number>;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
}

/** Defaults are those of llama.cpp's tools, but for the length. */
export function addGenerationOptions(command: Command, length: number): Command {
  const share = realNumber({ least: 0, most: 1 });
  return command
    .option(
      '-n, --n-predict <count>',
      'tokens at most; -1: until the text ends',
      wholeNumber({ least: -1 }),
      length,
    )
    .option('--temp <t>', 'temperature; 0: always the most likely token', realNumber({ least: 0 }), 0.8)
    .option('--top-k <count>', 'draw among so many of the most likely; 0: all', wholeNumber(), 40)
    .option(
      '--top-p <share>',
      'draw among the most likely that have this probability together; 1: all',
      share,
      0.95,
    )
    .option(
      '--min-p <share>',
      'leave out what is less likely than this share of the most likely; 0: none',
      share,
      0.05,
    )
    .option(
      '--repeat-penalty <factor>',
      'make tokens seen lately less likely; 1: off',
      realNumber({ least: 0.001 }),
      1,
    )
    .option(
      '--repeat-last-n <count>',
      'tokens that penalties look back; -1: all',
      wholeNumber({ least: -1 }),
      64,
    )
    .option('--frequency-penalty <amount>', 'taken off a logit for each occurrence', realNumber(), 0)
    .option('--presence-penalty <amount>', 'taken off a logit for any occurrence', realNumber(), 0)
    .option(
      '--logit-bias <id=bias>',
      'add to the logit of a token id, -inf bans it; may be repeated',
      addLogitBias,
    )
    .option('--seed <number>', 'of the random draws (default: another each time)', wholeNumber())
    .option('--stop <text>', 'end before this text; may be repeated', addText)
    .option('--ignore-eos', 'go on where the model would end the text');
}

/** The flags in the library's words. */
export function generateOptionsOf(flags: GenerationFlags): GenerateOptions {
  const { nPredict, logitBias, seed, stop, ignoreEos } = flags;
  return {
    temperature: flags.temp,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repeatPenalty,
    penaltyWindow: flags.repeatLastN,
    frequencyPenalty: flags.frequencyPenalty,
    presencePenalty: flags.presencePenalty,
    ...(nPredict < 0 ? {} : { maxTokens: nPredict }),
    ...(logitBias ? { logitBias } : {}),
    ...(seed === undefined ? {} : { seed }),
    ...(stop ? { stop } : {}),
    ...(ignoreEos ? { ignoreEnd: true } : {}),
  };
}
