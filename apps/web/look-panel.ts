/** A model before it is loaded: what it is, whether it fits and how fast it will be, and how to load it. */
import {
  estimateModel,
  inspectModel,
  type ModelInput,
  type ModelInspection,
  storeUsage,
} from '../../src/index.ts';
import { find, make, makeButton } from './dom.ts';
import { lineOf } from './errors.ts';
import { type ChosenOptions, LoadFields, type LoadFieldsListener } from './load-fields.ts';
import type { ModelChoice } from './model-choice.ts';
import { availableBytes, verdictOf } from './verdict.ts';
import { sayBytes, sayCount } from './words.ts';

export interface LoadRequest {
  readonly choice: ModelChoice;
  readonly name: string;
  readonly input: ModelInput;
  readonly options: ChosenOptions;
  readonly keeps: boolean;
}

export interface LookPanelListener extends LoadFieldsListener {
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
    const room: Room = await storeUsage().then(
      ({ roomBytes }) => roomBytes ?? 'unknown',
      () => 'refused',
    );
    if (signal.aborted) return;
    this.#show(choice, input, inspection, room, cancel, signal);
  }

  #show(
    choice: ModelChoice,
    input: ModelInput,
    inspection: ModelInspection,
    room: Room,
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
    const keep = keepField(choice, inspection.fileBytes, room, this.#listener);
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
      const available = availableBytes();
      const options = {
        ...fields.options(),
        ...(available === undefined ? {} : { availableBytes: available }),
      };
      const estimate = await estimateModel(input, { ...options, signal });
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

/** Bytes that the browser allows the page to keep, if it says so and does not refuse to keep any. */
type Room = number | 'unknown' | 'refused';

/** Whether a copy is kept; off, and why, where it cannot be. */
function keepField(
  { isKept }: ModelChoice,
  fileBytes: number,
  room: Room,
  listener: LookPanelListener,
): { readonly element: HTMLElement; readonly checked: boolean } {
  const why = whyNotKept(fileBytes, room);
  const box = make('input', { type: 'checkbox', id: 'keep', disabled: why !== undefined });
  box.checked = why === undefined && listener.settings().keeps;
  box.addEventListener('change', () => listener.onSettings({ keeps: box.checked }));
  const label = why ?? `Keep it on this device (${sayBytes(fileBytes)}), to load it again, offline too`;
  return {
    element: make('label', { className: 'check' }, box, make('span', {}, label)),
    get checked() {
      return !isKept && box.checked;
    },
  };
}

function whyNotKept(fileBytes: number, room: Room): string | undefined {
  if (room === 'refused')
    return 'It cannot be kept: the browser refuses this page its storage, as in a private window';
  if (room === 'unknown' || room > fileBytes) return undefined;
  return `No room to keep it: the browser allows ${sayBytes(room)} more`;
}
