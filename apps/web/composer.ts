/** The box the user writes in. It grows with its text; Enter sends. */
import { find } from './dom.ts';

export interface ComposerListener {
  /** The text as it was written; it stays in the box where this is false. */
  onSend(text: string): boolean;
  onStop(): void;
}

export interface ComposerManner {
  readonly label: string;
  readonly send: string;
  /** Whether nothing at all may be sent. */
  readonly maySendNothing: boolean;
}

export class Composer {
  readonly #prompt = find('prompt', HTMLTextAreaElement);
  readonly #send = find('send', HTMLButtonElement);
  readonly #stop = find('stop', HTMLButtonElement);
  readonly #listener: ComposerListener;
  #maySendNothing = false;
  #isBusy = false;

  constructor(listener: ComposerListener) {
    this.#listener = listener;
    find('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('keydown', (event) => {
      // An input method's Enter ends its own word.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('input', () => this.#fit());
    this.#stop.addEventListener('click', () => this.#listener.onStop());
    document.addEventListener('keydown', (event) => {
      const isMine = !event.defaultPrevented && document.querySelector('dialog[open]') === null;
      if (event.key === 'Escape' && this.#isBusy && isMine) this.#listener.onStop();
    });
  }

  setManner({ label, send, maySendNothing }: ComposerManner): void {
    find('prompt-label', HTMLLabelElement).textContent = label;
    this.#prompt.placeholder = label;
    this.#send.textContent = send;
    this.#maySendNothing = maySendNothing;
    this.#fit();
  }

  setBusy(isBusy: boolean): void {
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#isBusy = isBusy;
    this.#send.hidden = isBusy;
    this.#stop.hidden = !isBusy;
    if (hadFocus) this.#prompt.focus();
  }

  focus(): void {
    this.#prompt.focus();
  }

  #submit(): void {
    const text = this.#prompt.value;
    if (this.#isBusy || (text.trim() === '' && !this.#maySendNothing)) return;
    if (!this.#listener.onSend(text.trim() === '' ? '' : text)) return;
    this.#prompt.value = '';
    this.#fit();
  }

  #fit(): void {
    this.#send.disabled = this.#prompt.value.trim() === '' && !this.#maySendNothing;
    this.#prompt.style.height = 'auto';
    this.#prompt.style.height = `${this.#prompt.scrollHeight + 2}px`;
  }
}
