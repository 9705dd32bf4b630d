/** The page: a model that is chosen and loaded, and conversations with it. */
import type { Engine } from '../../src/index.ts';
import { ChatRoom } from './chat-room.ts';
import type { Conversation } from './conversation.ts';
import { ConversationList } from './conversation-list.ts';
import { announce, find, make } from './dom.ts';
import { clearError, showError } from './errors.ts';
import { ModelsView } from './models-view.ts';
import { workOffline } from './offline.ts';
import { readSettings, type Settings, writeSettings } from './settings.ts';
import { SettingsDialog } from './settings-dialog.ts';
import { Sidebar } from './sidebar.ts';
import { sayBytes, sayRate } from './words.ts';

type View = 'models' | 'chat';

class Page {
  readonly #sidebar = new Sidebar();
  readonly #models: ModelsView;
  readonly #room: ChatRoom;
  readonly #settingsDialog: SettingsDialog;
  #settings = readSettings();
  #engine: Engine | undefined;
  #memoryBytes = 0;
  #rate: number | undefined;

  private constructor(list: ConversationList) {
    const settings = (): Settings => this.#settings;
    const onSettings = (changed: Partial<Settings>): void => this.#change(changed);
    this.#settingsDialog = new SettingsDialog({ settings, onSettings });
    this.#room = new ChatRoom(list, {
      settings,
      onRate: (rate) => {
        this.#rate = rate;
        this.#showFigures();
      },
      onAnswered: () => void this.#measureMemory(),
    });
    this.#models = new ModelsView({
      settings,
      onSettings,
      onUnload: () => this.#unload(),
      onLoaded: (engine, name) => this.#take(engine, name),
      onBack: () => void this.#show('chat'),
    });
    this.#applyTheme();
    this.#listen();
  }

  static async open(): Promise<void> {
    const listener = {
      onOpen: (conversation: Conversation): void => void page.#openConversation(conversation),
      onOpenDeleted: (): void => void page.#room.begin(),
    };
    const page: Page = new Page(await ConversationList.open(listener));
    await page.#room.begin();
    await page.#show('models');
  }

  #listen(): void {
    const onClick = (id: string, act: () => unknown) =>
      find(id, HTMLButtonElement).addEventListener('click', () => void act());
    onClick('open-models', () => this.#show('models'));
    onClick('model-button', () => this.#show(this.#engine && this.#isShown('models') ? 'chat' : 'models'));
    onClick('open-settings', () => this.#settingsDialog.open());
    onClick('close-error', clearError);
    onClick('new-conversation', async () => {
      await this.#room.begin();
      await this.#show(this.#engine ? 'chat' : 'models');
    });
    addEventListener('dragover', (event) => event.preventDefault());
    addEventListener('drop', (event) => {
      event.preventDefault();
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length > 0) void this.#show('models').then(() => this.#models.takeDropped(files));
    });
    addEventListener('unhandledrejection', ({ reason }) => showError(reason));
    addEventListener('error', ({ error }) => showError(error));
  }

  async #openConversation(conversation: Conversation): Promise<void> {
    await this.#room.open(conversation);
    await this.#show('chat');
  }

  #isShown(view: View): boolean {
    return !find(`${view}-view`, HTMLElement).hidden;
  }

  async #show(view: View): Promise<void> {
    this.#sidebar.dismiss();
    find('models-view', HTMLElement).hidden = view !== 'models';
    find('chat-view', HTMLElement).hidden = view !== 'chat';
    if (view === 'chat') return this.#room.focus();
    await this.#models.refresh();
    await this.#models.showCurrent(this.#engine, this.#name());
  }

  async #take(engine: Engine, name: string): Promise<void> {
    this.#engine = engine;
    find('model-name', HTMLSpanElement).textContent = name;
    await this.#room.use(engine, name);
    await this.#measureMemory();
    await this.#show('chat');
    announce(`${name} is loaded`);
  }

  async #unload(): Promise<void> {
    await this.#room.release();
    await this.#engine?.close();
    this.#engine = undefined;
    this.#rate = undefined;
    find('model-name', HTMLSpanElement).textContent = 'Choose a model';
    this.#showFigures();
    await this.#models.showCurrent(undefined, '');
  }

  #name(): string {
    return find('model-name', HTMLSpanElement).textContent ?? '';
  }

  async #measureMemory(): Promise<void> {
    const memory = await this.#engine?.memory().catch(() => undefined);
    if (!memory) return;
    this.#memoryBytes = memory.weightsBytes + memory.kvCacheBytes + memory.arenaBytes;
    this.#showFigures();
  }

  #showFigures(): void {
    const rate = this.#rate === undefined ? [] : [sayRate(this.#rate)];
    const parts = this.#engine ? [...rate, `${sayBytes(this.#memoryBytes)} of memory`] : [];
    const spans = parts.flatMap((part) => [' · ', make('span', {}, part)]).slice(1);
    find('figures', HTMLParagraphElement).replaceChildren(...spans);
  }

  #change(changed: Partial<Settings>): void {
    this.#settings = { ...this.#settings, ...changed };
    writeSettings(this.#settings);
    this.#applyTheme();
  }

  #applyTheme(): void {
    document.documentElement.dataset.theme = this.#settings.theme;
  }
}

void workOffline();
Page.open().catch(showError);
