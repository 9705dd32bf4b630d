import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShownText } from './shown-text.ts';

/** A terminal that knows what is written here: characters of one column, and the sequences of guesses. */
function openTerminal(columns: number, rows: number) {
  let lines: string[] = [''];
  let [kept, at] = [
    [0, 0],
    [0, 0],
  ];
  const put = (character: string): void => {
    let [row = 0, column = 0] = at;
    if (character === '\n' || column === columns) [row, column] = [row + 1, 0];
    if (row === rows) {
      lines.shift();
      row--;
    }
    const line = (lines[row] ?? '').padEnd(column);
    lines[row] = character === '\n' ? line : line.slice(0, column) + character + line.slice(column + 1);
    at = [row, character === '\n' ? 0 : column + 1];
  };
  const write = async (text: string): Promise<void> => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
    for (const [piece] of text.matchAll(/\x1b7|\x1b8|\x1b\[\w+|./gsu)) {
      const [row = 0, column = 0] = at;
      if (piece === '\x1b7') kept = at;
      else if (piece === '\x1b8') at = kept;
      else if (piece === '\x1b[J') lines = [...lines.slice(0, row), (lines[row] ?? '').slice(0, column)];
      else if (!piece.startsWith('\x1b')) put(piece);
    }
  };
  return { write, screen: () => lines.map((line) => line.trimEnd()).join('\n') };
}

test('guesses stand behind the text and leave no trace, at the end of lines and of the screen too', async () => {
  const [columns, rows] = [12, 3];
  const [plain, guessed] = [openTerminal(columns, rows), openTerminal(columns, rows)];
  const shown = new ShownText(guessed.write, () => columns);
  let seen = 0;
  for (const word of 'The old king had\nthree sons, and the youngest of them was a tailor\n\nwho\tsang'.match(
    /\S+|\s/g,
  ) ?? []) {
    await shown.guess('a guess\n');
    await shown.guess('of more');
    if (guessed.screen() !== plain.screen()) seen++;
    await shown.retract();
    assert.equal(guessed.screen(), plain.screen(), 'taken back');
    await shown.guess('x');
    const text = word === '\t' ? ' ' : word;
    await shown.add(text);
    await plain.write(text);
    assert.equal(guessed.screen(), plain.screen(), text);
  }
  assert.ok(seen > 20, `${seen} times`);
});

test('what is guessed is one line of plain characters', async () => {
  const written: string[] = [];
  const shown = new ShownText(
    async (text) => void written.push(text),
    () => 9,
  );
  await shown.add('日本');
  await shown.guess('a\x1b\n日c');
  await shown.guess('d');
  await shown.retract();
  assert.deepEqual(written, ['日本', '\x1b7\x1b[2ma ↵\x1b[22m', '\x1b8\x1b[J']);
});
