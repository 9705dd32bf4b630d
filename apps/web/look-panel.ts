/** A model before it is loaded: what it is, whether it fits and how fast it will be, and how to load it. */
import {
  backendNames,
  estimateModel,
  inspectModel,
  type LoadOptions,
  type ModelInput,
  type ModelInspection,
  storeUsage,
} from '../../src/index.ts';
import { find, make, makeButton } from './dom.ts';
import { lineOf } from './errors.ts';
import type { ModelChoice } from './model-choice.ts';
import type { Settings } from './settings.ts';
import { availableBytes, verdictOf } from './verdict.ts';
import { sayBytes, sayCount } from './words.ts';

export interface LoadRequest {
  readonly choice: ModelChoice;
  readonly name: string;
  readonly input: ModelInput;
  readonly options: Pick<LoadOptions, 'backend' | 'priority' | 'contextLength' | 'memoryBudget'>;
  readonly keeps: boolean;
}

export interface LookPanelListener {
  readonly settings: () => Settings;
  onSettings(changed: Partial<Settings>): void;
  onLoad(request: LoadRequest): void;
  onClose(): void;
}

export class LookPanel {
  readonly #panel = find('panel', HTMLElement);
  readonly #listener: LookPanelListener;
  #looking = new AbortController();

  constructor(listener: LookPanelListener) {
    this.#listener = listener;
  }

  close(): void {
    this.#looking.abort();
    this.#panel.hidden = true;
    this.#panel.replaceChildren();
  }

  /** Rejects where the file is no model that could be loaded. */
  async look(choice: ModelChoice): Promise<void> {
    this.close();
    this.#looking = new AbortController();
    const { signal } = this.#looking;
    const heading = make('h2', { id: 'panel-heading', tabIndex: -1 }, choice.label);
    const cancel = makeButton('Cancel', 'quiet', () => this.#listener.onClose());
    this.#panel.replaceChildren(
      heading,
      make('p', { className: 'note' }, 'Reading its header…'),
      make('div', { className: 'actions' }, cancel),
    );
    this.#panel.hidden = false;
    heading.focus();
    const input = await choice.open();
    const inspection = await inspectModel(input, { signal });
    const usage = await storeUsage().catch(() => undefined);
    if (signal.aborted) return;
    this.#show(choice, input, inspection, usage?.roomBytes, cancel, signal);
  }

  #show(
    choice: ModelChoice,
    input: ModelInput,
    inspection: ModelInspection,
    roomBytes: number | undefined,
    cancel: HTMLButtonElement,
    signal: AbortSignal,
  ): void {
    const name = inspection.model?.name || choice.label;
    const verdict = make('p', { className: 'verdict' });
    verdict.setAttribute('role', 'status');
    const parts = [
      make('h2', { id: 'panel-heading', tabIndex: -1 }, name),
      make('p', { className: 'facts' }, factsOf(inspection)),
    ];
    const warnings = inspection.warnings.map((line) => make('p', { className: 'note' }, line));
    if (inspection.problems.length > 0) {
      const problems = inspection.problems.map((line) => make('p', { className: 'verdict bad' }, line));
      const actions = make('div', { className: 'actions' }, cancel);
      this.#panel.replaceChildren(...parts, ...problems, ...warnings, actions);
      return;
    }
    const fields = new LoadFields(this.#listener, () => void this.#estimate(input, fields, verdict, signal));
    const keep = keepField(choice, inspection.fileBytes, roomBytes, this.#listener);
    const load = makeButton('Load', 'primary', () => {
      this.#looking.abort();
      this.#listener.onLoad({ choice, name, input, options: fields.options(), keeps: keep.checked });
    });
    load.id = 'load';
    const kind = inspection.chatTemplate === undefined ? [make('p', { className: 'note' }, plainNote)] : [];
    this.#panel.replaceChildren(
      ...parts,
      verdict,
      ...warnings,
      ...kind,
      fields.element,
      ...(choice.isKept ? [] : [keep.element]),
      make('div', { className: 'actions' }, cancel, load),
    );
    load.focus();
    void this.#estimate(input, fields, verdict, signal);
  }

  /** Each call ends the one before. */
  async #estimate(
    input: ModelInput,
    fields: LoadFields,
    verdict: HTMLParagraphElement,
    outer: AbortSignal,
  ): Promise<void> {
    const signal = AbortSignal.any([fields.nextSignal(), outer]);
    verdict.className = 'verdict measuring';
    verdict.textContent = 'Measuring this device…';
    try {
      const { priority: _, ...options } = fields.options();
      const available = availableBytes();
      const estimate = await estimateModel(input, {
        ...options,
        signal,
        ...(available === undefined ? {} : { availableBytes: available }),
      });
      if (signal.aborted) return;
      const { tone, fit, speed } = verdictOf(estimate);
      verdict.className = `verdict ${tone}`;
      verdict.textContent = speed === undefined ? fit : `${fit} ${speed}`;
    } catch (error) {
      if (signal.aborted) return;
      verdict.className = 'verdict bad';
      verdict.textContent = lineOf(error) ?? '';
    }
  }
}

const plainNote =
  'It has no chat template: it goes on with a text that you begin, rather than answering messages.';

function factsOf({ model, parameterCount, formats, fileBytes, container }: ModelInspection): string {
  const facts = [
    model?.architecture ?? container,
    `${sayCount(parameterCount)} parameters`,
    (formats[0]?.format ?? '').toUpperCase(),
    sayBytes(fileBytes),
    model && `${model.contextLength.toLocaleString('en')} tokens of context`,
  ];
  return facts.filter(Boolean).join(' · ');
}

/** Whether a copy is kept; off, and why, where there is no room for one. */
function keepField(
  { isKept }: ModelChoice,
  fileBytes: number,
  roomBytes: number | undefined,
  listener: LookPanelListener,
): { readonly element: HTMLElement; readonly checked: boolean } {
  const hasRoom = roomBytes === undefined || roomBytes > fileBytes;
  const box = make('input', { type: 'checkbox', id: 'keep', disabled: !hasRoom });
  box.checked = hasRoom && listener.settings().keeps;
  box.addEventListener('change', () => listener.onSettings({ keeps: box.checked }));
  const label = hasRoom
    ? `Keep it on this device (${sayBytes(fileBytes)}), to load it again, offline too`
    : `No room to keep it: the browser allows ${sayBytes(roomBytes)} more`;
  return {
    element: make('label', { className: 'check' }, box, make('span', {}, label)),
    get checked() {
      return !isKept && box.checked;
    },
  };
}

/** How it is loaded. */
class LoadFields {
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

  constructor({ settings, onSettings }: LookPanelListener, onChange: () => void) {
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

  options(): LoadRequest['options'] {
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
