/** What will probably follow, between the tokens that do: shown while the target verifies it, and taken back after. */

/** Guesses as the decoding loop reports them. */
export class ForeseenTokens {
  ids: readonly number[] = [];
  #wake = (): void => {};

  readonly update = (ids: readonly number[]): void => {
    this.ids = ids;
    this.#wake();
  };

  /** Resolves at the next update. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** An item of the decoding, guesses that are new behind those shown, or how many of these are taken back. */
export type Shown<Item> =
  | { readonly kind: 'item'; readonly item: Item }
  | { readonly kind: 'guesses'; readonly ids: readonly number[] }
  | { readonly kind: 'retracted'; readonly count: number };

/**
 * The items with the guesses between them; all guesses are taken back before an item. Where the consumer leaves while an
 * item is on its way, `leave` must make it come or fail soon; it is not shown then.
 */
export async function* showForeseen<Item>(
  items: AsyncIterator<Item, unknown, void>,
  foreseen: ForeseenTokens,
  leave: () => void,
): AsyncGenerator<Shown<Item>, void, void> {
  let shown: readonly number[] = [];
  let underWay: Promise<IteratorResult<Item, unknown>> | undefined;
  try {
    for (;;) {
      underWay = items.next();
      const arrived = underWay.then(
        () => true,
        () => true,
      );
      for (let isHere = false; !isHere; ) {
        const changed = foreseen.changed();
        const { ids } = foreseen;
        const goesOn = shown.length <= ids.length && shown.every((id, index) => id === ids[index]);
        if (!goesOn) {
          yield { kind: 'retracted', count: shown.length };
          shown = [];
        }
        if (ids.length > shown.length) yield { kind: 'guesses', ids: ids.slice(shown.length) };
        shown = ids;
        isHere = await Promise.race([arrived, changed.then(() => false)]);
      }
      if (shown.length > 0) yield { kind: 'retracted', count: shown.length };
      shown = [];
      const { done, value } = await underWay;
      underWay = undefined;
      if (done) return;
      yield { kind: 'item', item: value };
    }
  } finally {
    if (underWay) {
      leave();
      await underWay.catch(() => {});
    }
    await items.return?.();
  }
}

/** The items alone. */
export async function* showItems<Item>(items: AsyncIterable<Item>): AsyncGenerator<Shown<Item>, void, void> {
  for await (const item of items) yield { kind: 'item', item };
}
