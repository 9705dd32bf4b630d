import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformAt } from '../base/random.ts';
import { StopMatcher } from './stop-matcher.ts';

function feed(stops: readonly string[], pieces: readonly string[]) {
  const matcher = new StopMatcher(stops);
  const shown = pieces.map((piece) => matcher.push(piece));
  const found = matcher.found;
  return { shown, text: shown.join('') + matcher.flush(), found };
}

/** The definition: the first end of any stop string, the longest of those that end there. */
function naive(stops: readonly string[], text: string) {
  for (let end = 0; end <= text.length; end++) {
    const ended = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const found = ended.sort((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), found };
  }
  return { text, found: undefined };
}

test('text that may begin a stop string is held back, and let go when it does not', () => {
  assert.deepEqual(feed(['\nUser:'], ['Hi', '\n', 'Us', 'ually', ' \nUser', ':', ' more']), {
    shown: ['Hi', '', '', '\nUsually', ' ', '', ''],
    text: 'Hi\nUsually ',
    found: '\nUser:',
  });
  assert.deepEqual(feed(['END'], ['the E', 'N']), { shown: ['the ', ''], text: 'the EN', found: undefined });
  assert.deepEqual(feed(['aab'], ['aa', 'a', 'a', 'ab', 'x']), {
    shown: ['', 'a', 'a', 'a', ''],
    text: 'aaa',
    found: 'aab',
  });
});

test('several stop strings', () => {
  assert.deepEqual(feed(['abcd', 'bc'], ['abcd']).text, 'a');
  assert.deepEqual(feed(['abcd', 'bc'], ['a', 'b', 'c', 'd']).text, 'a');
  assert.deepEqual(feed(['b', 'ab'], ['xab']), { shown: ['x'], text: 'x', found: 'ab' });
  assert.deepEqual(feed([], ['a', 'b']), { shown: ['a', 'b'], text: 'ab', found: undefined });
  assert.throws(() => new StopMatcher(['a', '']), { code: 'bad-argument' });
});

test('any text in any pieces gives what looking at the whole text gives', () => {
  let found = 0;
  for (let round = 0; round < 3000; round++) {
    const dice = (place: number, sides: number) => Math.floor(uniformAt(round, place) * sides);
    const word = (first: number, length: number) =>
      Array.from({ length }, (_, index) => 'ab😀'.charAt(dice(first + index, 4))).join('');
    const stops = Array.from({ length: 1 + dice(0, 3) }, (_, index) =>
      word(10 + 10 * index, 1 + dice(1 + index, 5)),
    );
    const text = word(100, 30);
    const pieces: string[] = [];
    for (let at = 0; at < text.length; at += pieces.at(-1)?.length ?? 0) {
      pieces.push(text.slice(at, at + dice(200 + pieces.length, 5)));
    }
    const expected = naive(stops, text);
    const actual = feed(stops, pieces);
    assert.equal(actual.text, expected.text, JSON.stringify({ stops, pieces }));
    assert.equal(actual.found, expected.found, JSON.stringify({ stops, pieces }));
    if (actual.found) found++;
  }
  assert.ok(found > 500 && found < 2990, `${found} found`);
});

test('no more is held back than the beginning of a stop string', () => {
  const matcher = new StopMatcher(['abab!', 'b?']);
  let [given, shown] = ['', ''];
  for (const unit of 'xababababb abbb') {
    given += unit;
    shown += matcher.push(unit);
    const held = given.slice(shown.length);
    assert.ok(given.startsWith(shown));
    assert.ok('abab!'.startsWith(held) || 'b?'.startsWith(held), held);
  }
});
