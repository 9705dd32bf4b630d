import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DecodedText, DecodeTarget, Proposer, TextOptions } from '../decoder.ts';
import type { Executor, Step, StepResult } from '../executor.ts';
import type { Sequence } from '../kv-cache.ts';
import type { DetokenizerStream } from '../tokenizer.ts';
import { decodeText } from './decode-text.ts';

/** A model that says one text, a token per UTF-8 byte, then 0. */
function target(text: string): DecodeTarget {
  const bytes = new TextEncoder().encode(text);
  let [committed, pending] = [0, 0];
  const sequence: Partial<Sequence> = {
    get committed() {
      return committed;
    },
    get pending() {
      return pending;
    },
    commit(path) {
      committed += path.length;
      pending = 0;
      return [];
    },
    forget(length) {
      committed = length;
      pending = 0;
    },
  };
  const executor: Executor = {
    vocabularySize: 256,
    maxSelected: 64,
    async run(step: Step): Promise<StepResult> {
      const first = committed;
      pending = step.rows.length;
      const argmax = step.rows.map(({ position }) => bytes[position] ?? 0);
      return { cacheRows: step.rows.map((_, row) => first + row), argmax, logits: new Float32Array(0) };
    },
    async move() {},
    close() {},
  };
  return { executor, sequence: sequence as Sequence, contextLength: 1000, tokens: [1] };
}

function detokenizer(): DetokenizerStream {
  const decoder = new TextDecoder();
  return { push: (id) => decoder.decode(Uint8Array.of(id), { stream: true }), flush: () => decoder.decode() };
}

const clairvoyant = (text: string): Proposer => ({
  name: 'clairvoyant',
  propose(tokens, limit) {
    const chain = [...new TextEncoder().encode(text)].slice(tokens.length - 1, tokens.length - 1 + limit);
    return { tokens: chain, parents: chain.map((_, node) => node - 1) };
  },
});

async function say(text: string, options: Partial<TextOptions>) {
  const place = target(text);
  const decoding = decodeText(place, clairvoyant(text), detokenizer(), {
    maxTokens: 500,
    endIds: new Set([0]),
    ...options,
  });
  const items: DecodedText[] = [];
  for await (const item of decoding) items.push(item);
  assert.equal(place.sequence.committed, place.tokens.length - 1);
  return { text: items.map((item) => item.text).join(''), items, stats: decoding.stats, place };
}

test('whole characters, one item per token', async () => {
  const { text, items, stats } = await say('né 😀!', {});
  assert.equal(text, 'né 😀!');
  assert.deepEqual(
    items.map((item) => item.text),
    ['n', '', 'é', ' ', '', '', '', '😀', '!'],
  );
  assert.equal(stats.finish, 'end');
  assert.equal(stats.tokens, 9);
});

test('a stop string ends the text; its tokens stay in the timeline', async () => {
  const { text, items, stats, place } = await say('one STOP two', { stop: ['zwei', 'STOP'] });
  assert.equal(text, 'one ');
  assert.equal(stats.finish, 'stop');
  assert.equal(items.length, 8);
  assert.equal(place.tokens.length, 1 + 8);
});

test('what was held back comes out at the end', async () => {
  const cut = await say('one ST', { stop: ['STOP'] });
  assert.equal(cut.text, 'one ST');
  assert.equal(cut.stats.finish, 'end');
  assert.deepEqual(cut.items.at(-1), { token: undefined, text: 'ST' });
  const half = await say('é', { maxTokens: 1 });
  assert.equal(half.text, '\ufffd');
  assert.equal(half.stats.finish, 'length');
});

test('a consumer may leave', async () => {
  const place = target('some long text');
  const decoding = decodeText(place, clairvoyant('some long text'), detokenizer(), { maxTokens: 50 });
  let text = '';
  for await (const item of decoding) {
    text += item.text;
    if (text === 'some') break;
  }
  assert.equal(place.tokens.length, 1 + 4);
  assert.equal(place.sequence.committed, 4);
  assert.equal(decoding.stats.finish, 'stop');
});

test('an empty stop string is refused', async () => {
  await assert.rejects(say('text', { stop: [''] }), { code: 'bad-argument' });
});
