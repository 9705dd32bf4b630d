import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backend, Region } from '../backend.ts';
import { openBudget } from '../base/budget.ts';
import { known, NearfieldError } from '../base/error.ts';
import { type CacheMoveRow, fullCacheBytes, openKvCache, type Sequence } from '../kv-cache.ts';

/** One layer that keeps one word per row. */
const pageBytes = 128 * 4;
const layout = { pageRows: 128, pageBytes, partBytes: [pageBytes], strideBytes: pageBytes };

/** Memory only: regions as word arrays, addresses given out twice where a region was released. */
function openMemory() {
  const regions = new Map<number, { region: Region; words: Int32Array }>();
  const spanWords = 2 ** 20;
  const inRegion = (region: Region) => {
    const entry = regions.get(region.addressWords);
    assert.ok(entry && entry.region === region, 'a living region');
    return new Uint8Array(entry.words.buffer);
  };
  const backend = {
    allocate(byteLength: number) {
      let slot = 1;
      while (regions.has(slot * spanWords)) slot++;
      const region: Region = { addressWords: slot * spanWords, byteLength };
      regions.set(region.addressWords, { region, words: new Int32Array(byteLength / 4) });
      return region;
    },
    release(region: Region) {
      inRegion(region);
      regions.delete(region.addressWords);
    },
    write: (region: Region, offset: number, bytes: Uint8Array) => inRegion(region).set(bytes, offset),
    async read(region: Region, offset: number, target: Uint8Array) {
      target.set(inRegion(region).subarray(offset, offset + target.length));
    },
  } as unknown as Backend;
  const place = (page: number, row: number) => {
    const base = Math.floor(page / spanWords) * spanWords;
    const { words } = known(regions.get(base), `region of ${page}`);
    assert.ok(row >= 0 && row < 128 && page - base + row < words.length);
    return { words, index: page - base + row };
  };
  return {
    backend,
    get regionCount() {
      return regions.size;
    },
    load(page: number, row: number): number {
      const { words, index } = place(page, row);
      return known(words[index], 'word');
    },
    store(page: number, row: number, word: number): void {
      const { words, index } = place(page, row);
      words[index] = word;
    },
    move(moves: readonly CacheMoveRow[]): void {
      for (const { fromPage, fromRow, toPage, toRow } of moves) {
        this.store(toPage, toRow, this.load(fromPage, fromRow));
      }
    },
  };
}

type Memory = ReturnType<typeof openMemory>;

const pageOf = (sequence: Sequence, row: number): number =>
  known(sequence.pageAddresses[Math.floor(row / 128)], `page of row ${row}`);

/** Appends a row that holds `word`, as the executor would; returns the words it sees, in logical order. */
function appendWord(memory: Memory, sequence: Sequence, parent: number, word: number): number[] {
  memory.move(sequence.prepareToAppend());
  const { committed } = sequence;
  const { cacheRow, visible, maskLow, maskHigh } = sequence.append(parent);
  memory.store(pageOf(sequence, cacheRow), cacheRow % 128, word);
  const rows = Array.from({ length: visible }, (_, row) => row);
  for (let bit = 0; bit < 64; bit++) {
    if (((bit < 32 ? maskLow : maskHigh) >>> (bit & 31)) & 1) rows.push(committed + bit);
  }
  return rows.map((row) => memory.load(pageOf(sequence, row), row % 128));
}

function appendChain(memory: Memory, sequence: Sequence, words: readonly number[]): void {
  for (const word of words) appendWord(memory, sequence, sequence.committed + sequence.pending - 1, word);
  memory.move(
    sequence.commit(Array.from({ length: sequence.pending }, (_, row) => sequence.committed + row)),
  );
}

const contents = (memory: Memory, sequence: Sequence): number[] =>
  Array.from({ length: sequence.committed }, (_, row) => memory.load(pageOf(sequence, row), row % 128));

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

function openTestCache(contextLength: number, limitBytes?: number) {
  const memory = openMemory();
  const budget = openBudget(limitBytes);
  const cache = openKvCache({ backend: memory.backend, layout, contextLength, budget });
  return { memory, budget, cache };
}

test('a step appends in place and a path of a tree is moved behind the prefix', () => {
  const { memory, cache } = openTestCache(1000);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, range(0, 127));
  assert.deepEqual(appendWord(memory, sequence, 126, 500), [...range(0, 127), 500]);
  appendWord(memory, sequence, 126, 501);
  appendWord(memory, sequence, 128, 502);
  assert.deepEqual(appendWord(memory, sequence, 129, 503), [...range(0, 127), 501, 502, 503]);
  assert.throws(() => sequence.commit([127, 128]), { code: 'bad-argument' });
  assert.throws(() => sequence.commit([129]), { code: 'bad-argument' });
  const moves = sequence.commit([128, 129, 130]);
  assert.equal(moves.length, 3);
  memory.move(moves);
  assert.deepEqual(contents(memory, sequence), [...range(0, 127), 501, 502, 503]);
  assert.deepEqual([sequence.committed, sequence.pending], [130, 0]);
});

test('committing the beginning of a chain moves nothing', () => {
  const { memory, cache } = openTestCache(1000);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, [1, 2]);
  for (const parent of [1, 2, 3]) appendWord(memory, sequence, parent, parent);
  assert.equal(sequence.commit([2, 3]).length, 0);
  assert.deepEqual([sequence.committed, sequence.pending], [4, 0]);
  assert.equal(sequence.commit([]).length, 0);
});

test('wrong parents, full contexts and oversized trees are refused and change nothing', () => {
  const { memory, cache } = openTestCache(130);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, range(0, 60));
  for (const parent of [58, 60, -1, 0.5, Number.NaN]) {
    assert.throws(() => sequence.append(parent), { code: 'bad-argument' });
  }
  for (let row = 0; row < 64; row++) appendWord(memory, sequence, 59, row);
  assert.throws(() => sequence.append(59), { code: 'bad-argument', message: /64/ });
  assert.deepEqual([sequence.committed, sequence.pending], [60, 64]);
  sequence.forget(60);
  appendChain(memory, sequence, range(60, 70));
  assert.throws(() => sequence.append(129), { code: 'context-full', message: /130/ });
  for (const length of [-1, 131, 1.5]) {
    assert.throws(() => sequence.forget(length), { code: 'bad-argument' });
  }
  assert.throws(() => cache.share(sequence, 131), { code: 'bad-argument' });
  assert.throws(() => cache.share(openTestCache(10).cache.openSequence(), 0), { code: 'bad-argument' });
  sequence.close();
  assert.throws(() => sequence.append(-1), { code: 'bad-argument', message: /closed/ });
});

test('pending rows below the cut stay pending', () => {
  const { memory, cache } = openTestCache(300);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, [0]);
  for (const [parent, word] of [
    [0, 1],
    [0, 2],
    [1, 3],
  ] as const) {
    appendWord(memory, sequence, parent, word);
  }
  sequence.forget(3);
  assert.deepEqual([sequence.committed, sequence.pending], [1, 2]);
  assert.deepEqual(appendWord(memory, sequence, 2, 4), [0, 2, 4]);
  sequence.forget(2);
  assert.deepEqual(appendWord(memory, sequence, 1, 5), [0, 1, 5]);
});

test('a sequence cut back into a shared page copies it before it grows', () => {
  const { memory, cache } = openTestCache(1000);
  const first = cache.openSequence();
  appendChain(memory, first, range(0, 300));
  const { sequence: second, moves } = cache.share(first, 256);
  assert.equal(moves.length, 0);
  assert.deepEqual(first.pageAddresses.slice(0, 2), second.pageAddresses);
  second.forget(200);
  assert.throws(() => second.append(199), { code: 'internal' });
  assert.equal(second.prepareToAppend().length, 72);
  assert.deepEqual(second.prepareToAppend(), second.prepareToAppend());
  appendChain(memory, second, [9000]);
  assert.equal(second.prepareToAppend().length, 0);
  assert.deepEqual(contents(memory, second), [...range(0, 200), 9000]);
  assert.deepEqual(contents(memory, first), range(0, 300));
});

test('a replacement that was prepared but is no longer needed is dropped', () => {
  const { memory, cache } = openTestCache(1000);
  const first = cache.openSequence();
  appendChain(memory, first, range(0, 256));
  const { sequence: second } = cache.share(first, 256);
  second.forget(130);
  assert.equal(second.prepareToAppend().length, 2);
  first.close();
  assert.equal(second.prepareToAppend().length, 0);
  appendChain(memory, second, [77]);
  assert.deepEqual(contents(memory, second), [...range(0, 130), 77]);
});

test('snapshots hold the rows of their sequence and no others', async () => {
  const { memory, cache } = openTestCache(1000);
  const other = cache.openSequence();
  appendChain(memory, other, range(5000, 512));
  other.close();
  const sequence = cache.openSequence();
  appendChain(memory, sequence, range(1, 200));
  const pages: Uint8Array[] = [];
  await cache.save(sequence, async (page) => {
    pages.push(page.slice());
  });
  assert.equal(pages.length, 2);
  assert.deepEqual([...new Int32Array(known(pages[1], 'page').buffer).subarray(72)], Array(56).fill(0));
  const { memory: memory2, cache: cache2, budget } = openTestCache(1000);
  const restored = await cache2.restore(200, async (page) => page.set(known(pages.shift(), 'page')));
  assert.deepEqual(contents(memory2, restored), range(1, 200));
  appendChain(memory2, restored, [3]);
  assert.equal(restored.committed, 201);
  restored.close();
  const held = budget.reservedBytes;
  const failing = cache2.restore(400, async () => {
    throw new NearfieldError('io', 'gone');
  });
  await assert.rejects(failing, { code: 'io' });
  assert.equal(budget.reservedBytes, held);
  await assert.rejects(
    cache2.restore(1001, async () => {}),
    { code: 'context-full' },
  );
});

test('appending while a snapshot is taken leaves the snapshot whole', async () => {
  const { memory, cache } = openTestCache(1000);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, range(0, 140));
  const saved: number[] = [];
  await cache.save(sequence, async (page) => {
    if (saved.length === 0) appendChain(memory, sequence, range(140, 60));
    saved.push(...new Int32Array(page.slice().buffer));
  });
  assert.deepEqual(saved.slice(0, 140), range(0, 140));
  assert.equal(saved[140], 0);
  assert.deepEqual(contents(memory, sequence), range(0, 200));
});

test('rows kept behind a path are descendants of its end, in order', () => {
  const { memory, cache } = openTestCache(1000);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, [10, 11]);
  // 2 and 3 under the prefix, 4 and 5 under 2, 6 under 4.
  for (const [parent, word] of [
    [1, 20],
    [1, 21],
    [2, 22],
    [2, 23],
    [4, 24],
  ] as const) {
    appendWord(memory, sequence, parent, word);
  }
  for (const kept of [[3], [2], [6], [5, 4], [4, 4], [7]]) {
    assert.throws(() => sequence.commit([2], kept), { code: 'bad-argument' }, String(kept));
  }
  assert.deepEqual([sequence.committed, sequence.pending], [2, 5]);
  memory.move(sequence.commit([2], [4, 5, 6]));
  assert.deepEqual([sequence.committed, sequence.pending], [3, 3]);
  assert.deepEqual(appendWord(memory, sequence, 5, 30), [10, 11, 20, 22, 24, 30]);
  assert.deepEqual(appendWord(memory, sequence, 4, 31), [10, 11, 20, 23, 31]);
});

test('pages are reserved from the budget, refused beyond it, and given back', () => {
  const { memory, budget, cache } = openTestCache(2 ** 21, 2 ** 20 + 100);
  const first = cache.openSequence();
  const rows = 2048 * 128;
  for (let row = 0; row < rows; row++) first.append(row - 1);
  assert.equal(cache.heldBytes, 2 ** 20);
  assert.throws(() => first.append(rows - 1), { code: 'out-of-budget', message: /KV cache/ });
  assert.equal(first.pending, rows);
  first.close();
  first.close();
  assert.equal(budget.reservedBytes, 2 ** 20, 'one free slab stays for the next sequence');
  const second = cache.openSequence();
  appendChain(memory, second, [1]);
  cache.close();
  second.close();
  assert.deepEqual([budget.reservedBytes, memory.regionCount], [0, 0]);
  assert.throws(() => cache.openSequence().append(-1), { code: 'bad-argument', message: /closed/ });
});

test('rows that are reserved find their pages; what does not fit takes none', () => {
  const { memory, budget, cache } = openTestCache(200_000, 2 ** 20 + 100);
  const sequence = cache.openSequence();
  appendChain(memory, sequence, range(0, 100));
  assert.throws(() => sequence.reserve(199_901), {
    code: 'context-full',
    message: /199901 rows.*100 are taken/,
  });
  sequence.reserve(1000);
  assert.equal(sequence.pageAddresses.length, 9);
  const [pages, reserved] = [[...sequence.pageAddresses], budget.reservedBytes];
  appendChain(memory, sequence, range(100, 1000));
  assert.deepEqual([[...sequence.pageAddresses], budget.reservedBytes], [pages, reserved]);
  assert.deepEqual(contents(memory, sequence), range(0, 1100));
  sequence.reserve(500);
  sequence.forget(1000);
  assert.equal(sequence.pageAddresses.length, 8);
  const other = openTestCache(2 ** 21, 2 ** 20 + 100).cache.openSequence();
  assert.throws(() => other.reserve(2049 * 128), { code: 'out-of-budget' });
  assert.equal(other.pageAddresses.length, 0);
});

test('random timelines agree with a model that keeps every path as a list', () => {
  for (let seed = 1; seed <= 12; seed++) runRandomTimelines(seed, 400);
});

interface Timeline {
  readonly sequence: Sequence;
  committed: number[];
  /** Word, and index of the parent among the pending rows (-1: prefix). */
  pending: { readonly word: number; readonly parent: number }[];
}

function runRandomTimelines(seed: number, actions: number): void {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const { memory, budget, cache } = openTestCache(600);
  const timelines: Timeline[] = [{ sequence: cache.openSequence(), committed: [], pending: [] }];
  let words = 1;
  const pathTo = ({ pending }: Timeline, row: number): number[] => {
    const { parent } = known(pending[row], 'pending row');
    return parent < 0 ? [row] : [...pathTo({ pending } as Timeline, parent), row];
  };
  const wordsOf = (timeline: Timeline, path: readonly number[]): number[] =>
    path.map((row) => known(timeline.pending[row], 'pending row').word);

  const append = (timeline: Timeline): void => {
    const { sequence, committed, pending } = timeline;
    const isChain = pending.every(({ parent }, row) => parent === row - 1);
    const mayBranch = pending.length < 64 && random(3) === 0;
    if (committed.length + pending.length >= 600 || (pending.length >= 64 && !isChain)) return;
    const parent = mayBranch ? random(pending.length + 1) - 1 : pending.length - 1;
    const word = words++;
    const seen = appendWord(memory, sequence, committed.length + parent, word);
    pending.push({ word, parent });
    assert.deepEqual(seen, [...committed, ...wordsOf(timeline, pathTo(timeline, pending.length - 1))]);
  };
  const act = (timeline: Timeline): void => {
    const { sequence, committed, pending } = timeline;
    const kind = random(10);
    if (kind < 5) {
      for (let count = 1 + random(kind === 0 ? 150 : 12); count > 0; count--) append(timeline);
    } else if (kind < 7) {
      const path = pending.length > 0 && random(8) > 0 ? pathTo(timeline, random(pending.length)) : [];
      const end = path.at(-1) ?? -1;
      const kept: number[] = [];
      if (random(2) === 0) {
        for (const [row, { parent }] of pending.entries()) {
          if ((parent === end || kept.includes(parent)) && random(5) > 0) kept.push(row);
        }
      }
      const rows = (list: readonly number[]): number[] => list.map((row) => committed.length + row);
      memory.move(sequence.commit(rows(path), rows(kept)));
      committed.push(...wordsOf(timeline, path));
      timeline.pending = kept.map((row) => {
        const { word, parent } = known(pending[row], 'pending row');
        return { word, parent: kept.indexOf(parent) };
      });
    } else if (kind === 7) {
      const length = Math.max(0, committed.length + pending.length - random(random(2) ? 10 : 200));
      sequence.forget(length);
      timeline.pending = pending.slice(0, Math.max(0, length - committed.length));
      committed.length = Math.min(committed.length, length);
    } else if (kind === 8 && timelines.length < 5) {
      const length = random(committed.length + 1);
      const { sequence: copy, moves } = cache.share(sequence, length);
      memory.move(moves);
      timelines.push({ sequence: copy, committed: committed.slice(0, length), pending: [] });
    } else if (kind === 9 && timelines.length > 1) {
      sequence.close();
      timelines.splice(timelines.indexOf(timeline), 1);
    }
  };

  for (let action = 0; action < actions; action++) {
    act(known(timelines[random(timelines.length)], 'timeline'));
    for (const { sequence, committed, pending } of timelines) {
      assert.deepEqual([sequence.committed, sequence.pending], [committed.length, pending.length]);
    }
  }
  for (const { sequence, committed } of timelines) {
    assert.deepEqual(contents(memory, sequence), committed);
    sequence.close();
  }
  // Every page is free again: at most the small pool is held, and one sequence of the whole context fits into it.
  const held = cache.heldBytes;
  assert.ok(held <= 2 * 5 * pageBytes);
  appendChain(memory, cache.openSequence(), range(0, 600));
  assert.equal(cache.heldBytes, Math.max(held, 5 * pageBytes));
  cache.close();
  assert.equal(budget.reservedBytes, 0);
}

test('what a full context holds is told before a cache is opened', () => {
  for (const contextLength of [1, 128, 129, 5000, 300_000]) {
    const { backend } = openMemory();
    const cache = openKvCache({ backend, layout, contextLength, budget: openBudget() });
    const sequence = cache.openSequence();
    for (let row = 0; row < contextLength; row++) sequence.append(row - 1);
    assert.equal(cache.heldBytes, fullCacheBytes(layout, contextLength), `${contextLength} rows`);
    cache.close();
  }
});
