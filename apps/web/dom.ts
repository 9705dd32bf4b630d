/** Elements of the page: found by id, or made. */
import { NearfieldError } from '../../src/index.ts';

/** Throws where the document has no such element. */
export function find<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new NearfieldError('internal', `The page has no ${kind.name} of id ${id}`);
}

/** Properties are set, children appended; text becomes a text node, never markup. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

export function makeButton(label: string, className: string, onClick: () => void): HTMLButtonElement {
  const button = make('button', { type: 'button', className }, label);
  button.addEventListener('click', onClick);
  return button;
}

/** Says for a while that it has copied. */
export function copyButton(text: string): HTMLButtonElement {
  const button = makeButton('Copy', 'quiet small', () => {
    navigator.clipboard.writeText(text).then(
      () => say('Copied'),
      () => say('Not allowed'),
    );
  });
  const say = (word: string): void => {
    button.textContent = word;
    announce(word);
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 2000);
  };
  return button;
}

/** Tells screen readers, and nobody else. */
export function announce(text: string): void {
  find('status', HTMLParagraphElement).textContent = text;
}
