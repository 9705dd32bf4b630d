/** What has been opened and is to be closed again, last first. */

export class Cleanup {
  readonly #steps: (() => void | Promise<void>)[] = [];

  /** Remembers how to close `value` and returns it. */
  add<T>(value: T, close: (value: T) => void | Promise<void>): T {
    this.#steps.push(() => close(value));
    return value;
  }

  /** Closes everything, also when one of them fails, and then throws the first failure. Harmless when repeated. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
