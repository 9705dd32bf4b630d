/** The list at the side, which on a narrow page lies over it. */
import { find } from './dom.ts';

export class Sidebar {
  readonly #sidebar = find('sidebar', HTMLElement);
  readonly #shade = find('shade', HTMLDivElement);
  readonly #open = find('open-sidebar', HTMLButtonElement);
  readonly #close = find('close-sidebar', HTMLButtonElement);
  readonly #narrow = matchMedia('(max-width: 760px)');

  constructor() {
    this.#open.addEventListener('click', () => this.#set(true));
    this.#close.addEventListener('click', () => this.#set(false));
    this.#shade.addEventListener('click', () => this.#set(false));
    this.#narrow.addEventListener('change', () => this.#set(false));
    this.#sidebar.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.#narrow.matches) this.#set(false);
    });
    this.#set(false);
  }

  /** After something in it was chosen. */
  dismiss(): void {
    if (this.#narrow.matches) this.#set(false);
  }

  #set(isOpen: boolean): void {
    const covers = isOpen && this.#narrow.matches;
    const wasOpen = this.#sidebar.classList.contains('open');
    this.#sidebar.classList.toggle('open', covers);
    // What is out of sight is out of reach, too.
    this.#sidebar.inert = this.#narrow.matches && !isOpen;
    find('open-sidebar', HTMLButtonElement).setAttribute('aria-expanded', String(covers));
    this.#shade.hidden = !covers;
    const main = this.#shade.nextElementSibling;
    if (main instanceof HTMLElement) main.inert = covers;
    if (covers) this.#close.focus();
    else if (wasOpen) this.#open.focus();
  }
}
