/** A text cut into windows of tokens, as llama.cpp's tools cut it. */
import { NearfieldError } from '../../src/index.ts';

type Tokenize = (text: string, options: { readonly addSpecial: true }) => number[] | Promise<number[]>;

/** Whole windows, one behind the other; the vocabulary's BOS stands in place of the first token of each. */
export async function cutWindows(
  tokenize: Tokenize,
  text: string,
  context: number,
  file: string,
): Promise<number[][]> {
  const ids = await tokenize(text, { addSpecial: true });
  const [begin] = await tokenize('', { addSpecial: true });
  const windows: number[][] = [];
  for (let start = 0; start + context <= ids.length; start += context) {
    const window = ids.slice(start, start + context);
    if (begin !== undefined && ids[0] === begin) window[0] = begin;
    windows.push(window);
  }
  if (windows.length === 0) {
    throw new NearfieldError(
      'bad-argument',
      `${file} has ${ids.length} tokens, fewer than a window of ${context}; give a longer text or a smaller --context`,
    );
  }
  return windows;
}
