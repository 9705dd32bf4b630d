/** Where a model is chosen, looked at and loaded, and where those kept are. */
import type { Engine } from '../../src/index.ts';
import { find, make, makeButton } from './dom.ts';
import { clearError, lineOf, showError } from './errors.ts';
import { KeptList } from './kept-list.ts';
import { loadWithPanel } from './load-panel.ts';
import { type LoadRequest, LookPanel, type LookPanelListener } from './look-panel.ts';
import {
  choiceOfAddress,
  choiceOfFiles,
  choiceOfFolder,
  choiceOfKept,
  includedAddress,
  keptFrom,
  type ModelChoice,
} from './model-choice.ts';
import { sayBytes } from './words.ts';

export interface ModelsViewListener extends Pick<LookPanelListener, 'settings' | 'onSettings'> {
  /** Before another model is loaded, and where the user wants none. */
  onUnload(): Promise<void>;
  onLoaded(engine: Engine, name: string): Promise<void>;
  /** To the conversation. */
  onBack(): void;
}

export class ModelsView {
  readonly #chooser = find('chooser', HTMLElement);
  readonly #panel: LookPanel;
  readonly #kept: KeptList;
  readonly #listener: ModelsViewListener;

  constructor(listener: ModelsViewListener) {
    this.#listener = listener;
    this.#panel = new LookPanel({
      settings: listener.settings,
      onSettings: (changed) => listener.onSettings(changed),
      onLoad: (request) => void this.#load(request),
      onClose: () => this.#close(),
    });
    this.#kept = new KeptList({
      onChoose: (model) => void this.#look(choiceOfKept(model)),
      onResume: ({ source }) => void this.#look(choiceOfAddress(source)),
    });
    this.#listen();
  }

  async refresh(): Promise<void> {
    await this.#kept.refresh();
  }

  /** The loaded model, or none. */
  async showCurrent(engine: Engine | undefined, name: string): Promise<void> {
    const card = find('current-model', HTMLElement);
    card.hidden = engine === undefined;
    card.replaceChildren();
    if (!engine) return;
    const { backend, threads, contextLength, warnings, streaming } = engine.description;
    const { weightsBytes, kvCacheBytes, arenaBytes } = await engine.memory();
    const facts = [
      `computed by ${backend} on ${threads === 1 ? 'one thread' : `${threads} threads`}`,
      `${contextLength.toLocaleString('en')} tokens of context`,
      `weights ${sayBytes(weightsBytes)}, cache ${sayBytes(kvCacheBytes)}, workspace ${sayBytes(arenaBytes)}`,
      ...(streaming ? [`${streaming.streamedLayers} layers read from disk`] : []),
    ];
    card.append(
      make('h2', { id: 'current-heading' }, `Loaded: ${name}`),
      make('p', { className: 'facts' }, facts.join(' · ')),
      ...warnings.map((line) => make('p', { className: 'note' }, line)),
      make(
        'div',
        { className: 'actions' },
        makeButton('Unload', 'quiet', () => void this.#listener.onUnload().then(() => this.#close())),
        makeButton('Back to the conversation', '', () => this.#listener.onBack()),
      ),
    );
  }

  #listen(): void {
    find('choose-included', HTMLButtonElement).addEventListener('click', () => {
      const kept = keptFrom(includedAddress, this.#kept.models);
      const { href } = new URL(includedAddress, document.baseURI);
      void this.#look(kept ? choiceOfKept(kept) : choiceOfAddress(href));
    });
    this.#listenToPicker('choose-file', 'file', choiceOfFiles);
    this.#listenToPicker('choose-folder', 'folder', choiceOfFolder);
    find('address-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      const address = find('address', HTMLInputElement).value.trim();
      if (address === '') return find('address', HTMLInputElement).focus();
      const full = /^[a-z]+:/i.test(address) ? address : `https://${address}`;
      const kept = URL.canParse(full) ? keptFrom(full, this.#kept.models) : undefined;
      void this.#look(kept ? choiceOfKept(kept) : choiceOfAddress(full));
    });
  }

  #listenToPicker(
    buttonId: string,
    inputId: string,
    choiceOf: (files: readonly File[]) => ModelChoice,
  ): void {
    const input = find(inputId, HTMLInputElement);
    find(buttonId, HTMLButtonElement).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      if (files.length > 0) void this.#look(choiceOf(files));
      // Else the same file could not be chosen again.
      input.value = '';
    });
  }

  takeDropped(files: readonly File[]): void {
    if (files.length > 0) void this.#look(choiceOfFiles(files));
  }

  async #look(choice: ModelChoice): Promise<void> {
    clearError();
    this.#chooser.hidden = true;
    try {
      await this.#panel.look(choice);
      find('panel', HTMLElement).scrollIntoView({ block: 'nearest' });
    } catch (error) {
      // Another choice has taken its place, or none.
      if (lineOf(error) === undefined) return;
      showError(error);
      this.#close();
    }
  }

  async #load(request: LoadRequest): Promise<void> {
    clearError();
    try {
      const engine = await loadWithPanel(request, () => this.#listener.onUnload());
      this.#panel.close();
      this.#chooser.hidden = false;
      await this.#listener.onLoaded(engine, request.name);
    } catch (error) {
      showError(error);
      this.#close();
    }
    await this.#kept.refresh();
  }

  #close(): void {
    this.#panel.close();
    this.#chooser.hidden = false;
    find('models-heading', HTMLHeadingElement).focus();
  }
}
