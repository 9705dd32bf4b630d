/** Pieces by their beginnings: finds every piece, or the longest, that starts at a place of a text. */
import { PairMap } from './pair-map.ts';

export class PieceTrie {
  // Node and UTF-16 unit to the next node; node 0 is the root.
  readonly #edges: PairMap;
  /** The id that ends at a node, or -1. */
  readonly #ids: number[] = [-1];

  constructor(pieces: Iterable<readonly [piece: string, id: number]>, expectedUnits = 64) {
    this.#edges = new PairMap(expectedUnits);
    for (const [piece, id] of pieces) {
      let node = 0;
      for (let at = 0; at < piece.length; at++) {
        const fresh = this.#ids.length;
        node = this.#edges.add(node, piece.charCodeAt(at), fresh);
        if (node === fresh) this.#ids.push(-1);
      }
      if (node !== 0) this.#ids[node] = id;
    }
  }

  /** The node below `node` along a UTF-16 unit, or -1. */
  step(node: number, unit: number): number {
    return this.#edges.get(node, unit);
  }

  /** The id of the piece that ends at this node, or -1. */
  idAt(node: number): number {
    return this.#ids[node] ?? -1;
  }

  /** The id of the longest piece that starts at `from`, or -1. */
  longestAt(text: string, from: number): number {
    let longest = -1;
    let node = 0;
    for (let at = from; at < text.length; at++) {
      node = this.#edges.get(node, text.charCodeAt(at));
      if (node < 0) break;
      const id = this.#ids[node] ?? -1;
      if (id >= 0) longest = id;
    }
    return longest;
  }
}
