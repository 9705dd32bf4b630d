/**
 * The loop that both kinds of byte-pair encoding share: of all neighbouring symbols that may merge, merge the pair of
 * the lowest rank (the leftmost among equals), until none is left. A heap of candidates over a linked list of symbols
 * makes it O(n log n) for any text.
 */

/** Which symbols merge. Symbols are named by their index; a merged symbol keeps the index of its left part. */
export interface MergeRule {
  /** A handle (≥ 0) for the merge of two neighbours, or -1. */
  find(symbols: PairMerger, left: number, right: number): number;
  /** Lower merges first. Exact in float32. */
  rank(handle: number): number;
  /** The id that the merged symbol gets. */
  merged(handle: number): number;
}

/** Buffers above this many symbols are given back after use. */
const keptCapacity = 4096;

/** Fill `ids` and `ends` for `count` symbols after `reset`, call `merge`, then walk from symbol 0 along `next` (-1 ends). */
export class PairMerger {
  count = 0;
  ids = new Int32Array(0);
  /** Where in the text a symbol ends (exclusive), in whatever unit the rule uses. Symbol 0 starts at 0. */
  ends = new Int32Array(0);
  /** The following symbol, -1 at the end, -2 for a symbol that was merged away. */
  next = new Int32Array(0);
  #previous = new Int32Array(0);
  // One candidate per heap entry: two symbols, the end of the right one when it was made, the rule's handle and rank.
  #left = new Int32Array(0);
  #right = new Int32Array(0);
  #end = new Int32Array(0);
  #handle = new Int32Array(0);
  #rank = new Float32Array(0);
  #free = new Int32Array(0);
  #freeCount = 0;
  #heap = new Int32Array(0);
  #heapSize = 0;

  /** Makes room for `count` symbols. */
  reset(count: number): void {
    this.count = count;
    if (count > this.ids.length || this.ids.length > keptCapacity) {
      const capacity = Math.max(count, keptCapacity);
      if (capacity === this.ids.length) return;
      this.ids = new Int32Array(capacity);
      this.ends = new Int32Array(capacity);
      this.next = new Int32Array(capacity);
      this.#previous = new Int32Array(capacity);
      // Every merge removes one candidate and adds at most two, so twice the symbols are never exceeded.
      this.#left = new Int32Array(capacity * 2);
      this.#right = new Int32Array(capacity * 2);
      this.#end = new Int32Array(capacity * 2);
      this.#handle = new Int32Array(capacity * 2);
      this.#rank = new Float32Array(capacity * 2);
      this.#free = new Int32Array(capacity * 2);
      this.#heap = new Int32Array(capacity * 2);
    }
  }

  /** Where a symbol starts: the end of the one before it. */
  start(symbol: number): number {
    const before = this.#previous[symbol] ?? -1;
    return before < 0 ? 0 : (this.ends[before] ?? 0);
  }

  merge(rule: MergeRule): void {
    const { ids, ends, next, count } = this;
    const previous = this.#previous;
    this.#heapSize = 0;
    const entries = count * 2;
    for (let entry = 0; entry < entries; entry++) this.#free[entry] = entries - 1 - entry;
    this.#freeCount = entries;
    for (let symbol = 0; symbol < count; symbol++) {
      previous[symbol] = symbol - 1;
      next[symbol] = symbol + 1 < count ? symbol + 1 : -1;
    }
    for (let symbol = 1; symbol < count; symbol++) this.#offer(rule, symbol - 1, symbol);
    while (this.#heapSize > 0) {
      const entry = this.#pop();
      const left = this.#left[entry] ?? 0;
      const right = this.#right[entry] ?? 0;
      // Stale: one of the two has been merged with another neighbour since.
      if (next[left] !== right || ends[right] !== this.#end[entry]) continue;
      ids[left] = rule.merged(this.#handle[entry] ?? 0);
      ends[left] = ends[right] ?? 0;
      const after = next[right] ?? -1;
      next[left] = after;
      next[right] = -2;
      if (after >= 0) previous[after] = left;
      const before = previous[left] ?? -1;
      if (before >= 0) this.#offer(rule, before, left);
      if (after >= 0) this.#offer(rule, left, after);
    }
  }

  #offer(rule: MergeRule, left: number, right: number): void {
    const handle = rule.find(this, left, right);
    if (handle < 0) return;
    this.#freeCount -= 1;
    const entry = this.#free[this.#freeCount] ?? 0;
    this.#left[entry] = left;
    this.#right[entry] = right;
    this.#end[entry] = this.ends[right] ?? 0;
    this.#handle[entry] = handle;
    this.#rank[entry] = rule.rank(handle);
    const heap = this.#heap;
    let at = this.#heapSize;
    this.#heapSize += 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] ?? 0;
      if (!this.#precedes(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0] ?? 0;
    this.#free[this.#freeCount] = top;
    this.#freeCount += 1;
    this.#heapSize -= 1;
    const size = this.#heapSize;
    const last = heap[size] ?? 0;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#precedes(heap[child + 1] ?? 0, heap[child] ?? 0)) child += 1;
      const below = heap[child] ?? 0;
      if (!this.#precedes(below, last)) break;
      heap[at] = below;
      at = child;
    }
    if (size > 0) heap[at] = last;
    return top;
  }

  #precedes(a: number, b: number): boolean {
    const rankA = this.#rank[a] ?? 0;
    const rankB = this.#rank[b] ?? 0;
    return rankA < rankB || (rankA === rankB && (this.#left[a] ?? 0) < (this.#left[b] ?? 0));
  }
}
