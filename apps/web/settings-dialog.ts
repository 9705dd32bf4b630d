/** The dialog of settings. What is changed holds at once. */
import { find } from './dom.ts';
import { defaultSettings, type Settings } from './settings.ts';

export interface SettingsDialogListener {
  readonly settings: () => Settings;
  onSettings(changed: Partial<Settings>): void;
}

export class SettingsDialog {
  readonly #dialog = find('settings', HTMLDialogElement);
  readonly #system = find('system', HTMLTextAreaElement);
  readonly #temperature = find('temperature', HTMLInputElement);
  readonly #topP = find('top-p', HTMLInputElement);
  readonly #maxTokens = find('max-tokens', HTMLInputElement);
  readonly #seed = find('seed', HTMLInputElement);
  readonly #theme = find('theme', HTMLSelectElement);
  readonly #listener: SettingsDialogListener;

  constructor(listener: SettingsDialogListener) {
    this.#listener = listener;
    find('settings-form', HTMLFormElement).addEventListener('change', () => this.#take());
    find('reset-settings', HTMLButtonElement).addEventListener('click', () => {
      const { system, temperature, topP, maxTokens, seed, theme } = defaultSettings;
      listener.onSettings({ system, temperature, topP, maxTokens, seed, theme });
      this.#fill();
    });
  }

  open(): void {
    this.#fill();
    this.#dialog.showModal();
  }

  #fill(): void {
    const { system, temperature, topP, maxTokens, seed, theme } = this.#listener.settings();
    this.#system.value = system;
    this.#temperature.value = String(temperature);
    this.#topP.value = String(topP);
    this.#maxTokens.value = String(maxTokens);
    this.#seed.value = seed === undefined ? '' : String(seed);
    this.#theme.value = theme;
  }

  /** A field that holds no number in its range leaves its setting as it is. */
  #take(): void {
    const number = (input: HTMLInputElement): number | undefined =>
      input.validity.valid && !Number.isNaN(input.valueAsNumber) ? input.valueAsNumber : undefined;
    const before = this.#listener.settings();
    const theme = this.#theme.value;
    this.#listener.onSettings({
      system: this.#system.value,
      temperature: number(this.#temperature) ?? before.temperature,
      topP: number(this.#topP) ?? before.topP,
      maxTokens: number(this.#maxTokens) ?? before.maxTokens,
      seed: this.#seed.validity.valid ? number(this.#seed) : before.seed,
      theme: theme === 'light' || theme === 'dark' ? theme : '',
    });
  }
}
