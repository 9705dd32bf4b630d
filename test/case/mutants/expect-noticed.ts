/** Whether the rounding that a backend states is small enough for the cases to notice what is wrong. */
import assert from 'node:assert/strict';
import type { Backend } from '../../../src/backend.ts';
import type { CacheType } from '../../../src/graph.ts';
import { opCases } from '../op-cases.ts';
import { runCase } from '../run-cases.ts';

export interface BackendMutant {
  /** Of the cases that must notice. */
  readonly name: RegExp;
  readonly mutate: (base: Backend) => Backend;
  readonly cacheType?: CacheType;
}

export async function expectNoticed(base: Backend, mutants: readonly BackendMutant[]): Promise<void> {
  try {
    for (const { name, mutate, cacheType } of mutants) {
      const cases = opCases.filter((opCase) => name.test(opCase.name));
      assert.ok(cases.length > 0, `${name}`);
      for (const opCase of cases) {
        const { problems } = await runCase(mutate(base), opCase, cacheType);
        assert.notEqual(problems.length, 0, `${opCase.name} did not notice`);
      }
    }
  } finally {
    await base.close();
  }
}
