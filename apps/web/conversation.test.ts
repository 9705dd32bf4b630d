import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newConversation, promptOf, type Turn, titleOf, withTurns } from './conversation.ts';
import { defaultSettings, generateOptionsOf, parseSettings } from './settings.ts';

const said: readonly Turn[] = [
  { role: 'user', text: 'A king' },
  { role: 'assistant', text: ' had a son.', remark: '4 tokens' },
  { role: 'user', text: 'He rode' },
  { role: 'user', text: ', and rode' },
];

test('a text is gone on with where it ends; what the user adds begins a word', () => {
  const text = withTurns(newConversation('text'), said);
  assert.equal(promptOf(text, 'Be brief.'), 'A king had a son. He rode, and rode');
});

test('messages are told with the system prompt where there is one', () => {
  const chat = withTurns(newConversation('chat'), said.slice(0, 2));
  const messages = [
    { role: 'user', content: 'A king' },
    { role: 'assistant', content: ' had a son.' },
  ];
  assert.deepEqual(promptOf(chat, ' '), messages);
  assert.deepEqual(promptOf(chat, ' Be brief.\n'), [{ role: 'system', content: 'Be brief.' }, ...messages]);
});

test('a title is the beginning of what was said first, on one line', () => {
  const empty = newConversation('chat');
  assert.equal(titleOf(empty), 'Nothing yet');
  assert.equal(titleOf(withTurns(empty, [{ role: 'user', text: ' A\n\nking ' }])), 'A king');
  const long = titleOf(withTurns(empty, [{ role: 'user', text: 'word '.repeat(40) }]));
  assert.ok(long.length <= 60 && long.endsWith('word…'), long);
});

test('settings that are damaged are as they were at first, one by one', () => {
  for (const text of [null, '', 'no JSON', '7', 'null', '[]'])
    assert.deepEqual(parseSettings(text), defaultSettings);
  const stored = {
    temperature: 9,
    topP: 0.5,
    maxTokens: 'many',
    seed: 7,
    theme: 'pink',
    backend: 'abacus',
    keeps: false,
  };
  assert.deepEqual(parseSettings(JSON.stringify(stored)), {
    ...defaultSettings,
    ...{ topP: 0.5, seed: 7, keeps: false },
  });
  assert.equal('seed' in generateOptionsOf(defaultSettings), false);
});
