/** A backend that tells which segments were submitted, in order. */
import type { Backend } from '../../../src/backend.ts';
import type { Segment } from '../../../src/plan.ts';

export interface Submitted {
  readonly segment: Segment;
  readonly symbols: readonly number[];
}

export function watchSubmits(backend: Backend, onSubmit: (submitted: Submitted) => void): Backend {
  const submit: Backend['submit'] = (program, bindings, symbols, ticket) => {
    onSubmit({ segment: program.segment, symbols: [...symbols] });
    backend.submit(program, bindings, symbols, ticket);
  };
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'submit') return submit;
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
