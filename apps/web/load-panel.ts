/** Loading a model: what is being done, how far it is, how long it will take, and a way out. */
import { Engine, keepModel, type LoadProgress, openKeptModel } from '../../src/index.ts';
import { announce, find, make, makeButton } from './dom.ts';
import type { LoadRequest } from './look-panel.ts';
import { TimeLeft } from './time-left.ts';
import { sayBytes, sayTimeLeft } from './words.ts';

const stageWords: Readonly<Record<LoadProgress['stage'], string>> = {
  open: 'Reading the header',
  draft: 'Loading the draft',
  download: 'Downloading',
  weights: 'Loading into memory',
  ready: 'Ready',
};

/** `beforeLoad` runs once a copy is made and nothing but memory is needed any more. Rejects with `aborted` when cancelled. */
export async function loadWithPanel(request: LoadRequest, beforeLoad: () => Promise<void>): Promise<Engine> {
  const { choice, name, options, keeps } = request;
  const cancelling = new AbortController();
  const { signal } = cancelling;
  const panel = new ProgressPanel(name, () => cancelling.abort());
  let { input } = request;
  if (keeps && !choice.isKept) {
    // So that the browser does not clear it away when room gets short; a refusal changes nothing here.
    void navigator.storage.persist().catch(() => false);
    const stage = typeof input === 'string' ? 'Downloading' : 'Copying';
    const onProgress = (progress: { loadedBytes: number; totalBytes: number }) =>
      panel.update(stage, progress);
    input = await openKeptModel(await keepModel(input, { signal, onProgress }));
  }
  await beforeLoad();
  const onProgress = (progress: LoadProgress): void => panel.update(stageWords[progress.stage], progress);
  return Engine.load(input, { ...options, signal, onProgress });
}

class ProgressPanel {
  readonly #bar = make('progress', { max: 1 });
  readonly #line = make('p', { className: 'facts' }, 'Starting…');
  #stage = '';
  #timeLeft = new TimeLeft(0, 0);
  #shown: { readonly loadedBytes: number; readonly totalBytes: number } | undefined;

  constructor(name: string, onCancel: () => void) {
    const heading = make('h2', { id: 'panel-heading' }, `Loading ${name}`);
    this.#bar.setAttribute('aria-labelledby', heading.id);
    const cancel = makeButton('Cancel', 'quiet', onCancel);
    cancel.id = 'cancel-load';
    const panel = find('panel', HTMLElement);
    panel.replaceChildren(heading, this.#bar, this.#line, make('div', { className: 'actions' }, cancel));
    panel.hidden = false;
    cancel.focus();
    announce(`Loading ${name}`);
  }

  /** Shown at the next frame. */
  update(stage: string, progress: { readonly loadedBytes: number; readonly totalBytes: number }): void {
    if (stage !== this.#stage) {
      this.#stage = stage;
      this.#timeLeft = new TimeLeft(performance.now(), progress.loadedBytes);
    }
    if (!this.#shown) requestAnimationFrame(() => this.#draw());
    this.#shown = progress;
  }

  #draw(): void {
    const { loadedBytes, totalBytes } = this.#shown ?? { loadedBytes: 0, totalBytes: 1 };
    this.#shown = undefined;
    this.#bar.value = totalBytes > 0 ? loadedBytes / totalBytes : 0;
    const secondsLeft = this.#timeLeft.update(performance.now(), loadedBytes, totalBytes);
    const { bytesPerSecond } = this.#timeLeft;
    const parts = [
      this.#stage,
      `${sayBytes(loadedBytes)} of ${sayBytes(totalBytes)}`,
      ...(secondsLeft !== undefined && bytesPerSecond
        ? [`${sayBytes(bytesPerSecond)}/s`, sayTimeLeft(secondsLeft)]
        : []),
    ];
    this.#line.textContent = parts.join(' · ');
  }
}
