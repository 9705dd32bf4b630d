/** How a model is loaded: backend, pace, context, memory; and how long an estimate for that holds. */
import { backendNames, type LoadOptions } from '../../src/index.ts';
import { make } from './dom.ts';
import type { Settings } from './settings.ts';

export type ChosenOptions = Pick<LoadOptions, 'backend' | 'priority' | 'contextLength' | 'memoryBudget'>;

export interface LoadFieldsListener {
  readonly settings: () => Settings;
  onSettings(changed: Partial<Settings>): void;
}

export class LoadFields {
  readonly element: HTMLDetailsElement;
  readonly #backend: HTMLSelectElement;
  readonly #priority: HTMLSelectElement;
  readonly #context = make('input', {
    id: 'context',
    type: 'number',
    min: '1',
    step: '1',
    placeholder: 'all',
  });
  readonly #limit = make('input', {
    id: 'limit',
    type: 'number',
    min: '0',
    step: 'any',
    placeholder: 'none',
  });
  #estimating = new AbortController();

  constructor({ settings, onSettings }: LoadFieldsListener, onChange: () => void) {
    const { backend, priority } = settings();
    this.#backend = select('backend', [
      ['auto', 'Automatic'],
      ...backendNames.map((name) => [name, name] as const),
    ]);
    this.#backend.value = backend;
    this.#priority = select('priority', [
      ['interactive', 'Smooth: leaves room for other work'],
      ['throughput', 'Fast: all of the processor'],
    ]);
    this.#priority.value = priority;
    this.element = make(
      'details',
      {},
      make('summary', {}, 'Options'),
      make(
        'div',
        { className: 'pair' },
        field('Computed by', this.#backend, 'The backend; automatic takes the fastest.'),
        field('Pace', this.#priority, 'Fast is about a quarter faster.'),
        field('Context, in tokens', this.#context, 'What it can look back on. Less takes less memory.'),
        field(
          'Memory limit, in GB',
          this.#limit,
          'A model that needs more is read from disk in part, which is slow.',
        ),
      ),
    );
    this.#priority.addEventListener('change', () =>
      onSettings({ priority: this.options().priority ?? 'interactive' }),
    );
    this.#backend.addEventListener('change', () => onSettings({ backend: this.options().backend ?? 'auto' }));
    for (const input of [this.#backend, this.#context, this.#limit])
      input.addEventListener('change', onChange);
  }

  options(): ChosenOptions {
    const [context, limit] = [this.#context.valueAsNumber, this.#limit.valueAsNumber];
    return {
      backend: backendNames.find((name) => name === this.#backend.value) ?? 'auto',
      priority: this.#priority.value === 'throughput' ? 'throughput' : 'interactive',
      ...(context >= 1 ? { contextLength: Math.round(context) } : {}),
      ...(limit > 0 ? { memoryBudget: Math.round(limit * 1e9) } : {}),
    };
  }

  /** Aborts the one that was given before. */
  nextSignal(): AbortSignal {
    this.#estimating.abort();
    this.#estimating = new AbortController();
    return this.#estimating.signal;
  }
}

function select(
  id: string,
  options: readonly (readonly [value: string, label: string])[],
): HTMLSelectElement {
  return make('select', { id }, ...options.map(([value, label]) => make('option', { value }, label)));
}

function field(label: string, input: HTMLInputElement | HTMLSelectElement, hint: string): HTMLElement {
  const note = make('p', { className: 'note', id: `${input.id}-hint` }, hint);
  input.setAttribute('aria-describedby', note.id);
  return make('div', {}, make('label', { htmlFor: input.id }, label), input, note);
}
