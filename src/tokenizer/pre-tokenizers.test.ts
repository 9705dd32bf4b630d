/** The table of pre-tokenizers: every entry cuts without loss, and as its model's tokenizer is documented to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomText, seededRandom } from './fixture/small-vocabularies.ts';
import { makeSplitter } from './pre-split.ts';
import { preTokenizers } from './pre-tokenizers.ts';

function words(name: string, text: string): string[] {
  const entry = preTokenizers.find(({ names }) => names.includes(name));
  assert.ok(entry, `no pre-tokenizer ${name}`);
  return makeSplitter(entry.steps)(text);
}

test('a name stands for one pre-tokenizer', () => {
  const names = preTokenizers.flatMap((entry) => entry.names);
  assert.equal(new Set(names).size, names.length);
});

test('the words of any text are the text', () => {
  const random = seededRandom(1);
  const texts = Array.from({ length: 40 }, () => randomText(random, 60));
  texts.push(
    ' '.repeat(3000),
    '\n'.repeat(3000),
    '7'.repeat(3000),
    '中'.repeat(3000),
    ` ${'A'.repeat(3000)}`,
  );
  for (const { names, steps } of preTokenizers) {
    const split = makeSplitter(steps);
    for (const text of texts) {
      const cut = split(text);
      assert.equal(cut.join(''), text, names[0]);
      assert.ok(!cut.includes(''), names[0]);
    }
  }
});

test('contractions, case and punctuation', () => {
  assert.deepEqual(words('gpt-2', "I'll SHOUT: I'LL\n\n go  on"), [
    ...['I', "'ll", ' SHOUT', ':', ' I', "'", 'LL', '\n\n', ' go', ' ', ' on'],
  ]);
  assert.deepEqual(words('llama-bpe', "I'll SHOUT: I'LL\n\n go  on"), [
    ...['I', "'ll", ' SHOUT', ':', ' I', "'LL", '\n\n', ' go', ' ', ' on'],
  ]);
  assert.deepEqual(words('gpt-4o', "camelCase HTTPServer isn't"), ['camel', 'Case', ' HTTPServer', " isn't"]);
  assert.deepEqual(words('tekken', "camelCase isn't"), ['camel', 'Case', ' isn', "'t"]);
  assert.deepEqual(words('deepseek-v3', 'x=y.foo (bar)'), ['x', '=y', '.foo', ' (', 'bar', ')']);
  assert.deepEqual(words('bloom', 'One, two. Three'), ['One', ',', ' two', '.', ' Three']);
});

test('digits', () => {
  const cut = (name: string): string => words(name, '1234567').join('|');
  assert.equal(cut('gpt-2'), '1234567');
  assert.equal(cut('llama-bpe'), '123|456|7');
  assert.equal(cut('qwen2'), '1|2|3|4|5|6|7');
  assert.equal(cut('starcoder'), '1|2|3|4|5|6|7');
  assert.equal(cut('falcon'), '123|456|7');
  assert.equal(cut('superbpe'), '1|234|567');
  assert.equal(cut('tiny_aya'), '1|234|567');
});

test('combining marks stay with their letter where the model keeps them', () => {
  assert.deepEqual(words('qwen2', 'हि'), ['ह', 'ि']);
  assert.deepEqual(words('qwen35', 'हि'), ['हि']);
});

test('Han apart from other letters', () => {
  assert.deepEqual(words('kimi-k2', 'abc漢字def'), ['abc', '漢字', 'def']);
  assert.deepEqual(words('deepseek-llm', 'a漢字 b  '), ['a', '漢字', ' b', '  ']);
});

test('white space is what Unicode calls so', () => {
  // U+0085 is white space, U+FEFF is not; JavaScript's \s has it the other way round.
  assert.deepEqual(words('gpt-2', 'a\u0085b'), ['a', '\u0085', 'b']);
  assert.deepEqual(words('gpt-2', 'a \ufeffb'), ['a', ' \ufeff', 'b']);
});
