/** The models kept on this device, with their sizes: load, go on, delete. */
import { clearCache, deleteKeptModel, type KeptModel, listKeptModels, storeUsage } from '../../src/index.ts';
import { announce, find, make, makeButton } from './dom.ts';
import { showError } from './errors.ts';
import { ask } from './question.ts';
import { fileNameOf, sayBytes } from './words.ts';

export interface KeptListListener {
  onChoose(model: KeptModel): void;
  /** Of one that was broken off. */
  onResume(model: KeptModel): void;
}

export class KeptList {
  readonly #section = find('kept', HTMLElement);
  readonly #list = find('kept-models', HTMLUListElement);
  readonly #usage = find('usage', HTMLSpanElement);
  readonly #clear = find('clear-cache', HTMLButtonElement);
  readonly #listener: KeptListListener;
  #models: readonly KeptModel[] = [];

  constructor(listener: KeptListListener) {
    this.#listener = listener;
    this.#clear.addEventListener('click', () => void this.#clearCache());
  }

  get models(): readonly KeptModel[] {
    return this.#models;
  }

  /** Empty where the browser has no place for files: nothing is kept then. */
  async refresh(): Promise<void> {
    this.#models = await listKeptModels().catch(() => []);
    this.#list.replaceChildren(...this.#models.map((model) => this.#row(model)));
    const usage = await storeUsage().catch(() => undefined);
    this.#section.hidden = !usage || (this.#models.length === 0 && usage.cacheBytes === 0);
    if (!usage) return;
    const room = usage.roomBytes === undefined ? '' : `, room for ${sayBytes(usage.roomBytes)} more`;
    const cache = usage.cacheBytes > 0 ? ` Besides, ${sayBytes(usage.cacheBytes)} of cache.` : '';
    this.#usage.textContent = `${sayBytes(usage.modelBytes)} kept${room}.${cache}`;
    this.#clear.hidden = usage.cacheBytes === 0;
  }

  #row(model: KeptModel): HTMLLIElement {
    const { source, name, architecture, byteLength, keptBytes } = model;
    const isWhole = keptBytes === byteLength;
    const title = name || fileNameOf(source);
    const size = isWhole ? sayBytes(byteLength) : `${sayBytes(keptBytes)} of ${sayBytes(byteLength)}`;
    const canResume = !isWhole && /^https?:/.test(source);
    const act = isWhole
      ? makeButton('Load', '', () => this.#listener.onChoose(model))
      : makeButton('Go on', '', () => this.#listener.onResume(model));
    act.setAttribute('aria-label', `${isWhole ? 'Load' : 'Go on with'} ${title}`);
    const remove = makeButton('Delete', 'quiet', () => void this.#delete(model, title));
    remove.setAttribute('aria-label', `Delete ${title}`);
    return make(
      'li',
      {},
      make(
        'div',
        { className: 'row-text' },
        make('strong', {}, title),
        make('span', { className: 'note' }, `${fileNameOf(source)} · ${architecture} · ${size}`),
      ),
      ...(isWhole || canResume ? [act] : []),
      remove,
    );
  }

  async #delete(model: KeptModel, title: string): Promise<void> {
    if (!(await ask(`Delete ${title} from this device? It frees ${sayBytes(model.keptBytes)}.`, 'Delete')))
      return;
    try {
      await deleteKeptModel(model);
      announce(`${title} is deleted`);
    } catch (error) {
      showError(error);
    }
    await this.refresh();
    find('models-heading', HTMLHeadingElement).focus();
  }

  async #clearCache(): Promise<void> {
    await clearCache().catch(showError);
    await this.refresh();
  }
}
