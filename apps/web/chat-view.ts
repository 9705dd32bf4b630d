/** What was said, as it is shown: turns, an answer that grows frame by frame, and scrolling that follows it. */
import { type Conversation, type ConversationKind, spaceBetween, type Turn } from './conversation.ts';
import { copyButton, find, make, makeButton } from './dom.ts';
import { MarkdownText } from './markdown-text.ts';

export interface ChatViewListener {
  onRegenerate(): void;
}

/** An answer under way. */
export interface AnswerView {
  append(text: string): void;
  /** A word on how it stands, under it. */
  remark(text: string): void;
}

/** So near to the end counts as there, in pixels. */
const endSlack = 40;

export class ChatView {
  readonly #log = find('log', HTMLDivElement);
  readonly #turns = find('turns', HTMLDivElement);
  readonly #toEnd = find('to-end', HTMLButtonElement);
  readonly #listener: ChatViewListener;
  #follows = true;

  constructor(listener: ChatViewListener) {
    this.#listener = listener;
    // Else Safari's users could not scroll it by keyboard.
    this.#log.tabIndex = 0;
    this.#log.addEventListener('scroll', () => this.#noteScroll(), { passive: true });
    new ResizeObserver(() => this.#follow()).observe(this.#log);
    this.#toEnd.addEventListener('click', () => this.scrollToEnd());
  }

  show({ kind, turns }: Conversation, welcome: string): void {
    this.#turns.dataset.kind = kind;
    if (turns.length === 0) {
      this.#turns.replaceChildren(make('p', { className: 'welcome' }, welcome));
      return;
    }
    const elements: HTMLElement[] = [];
    let before = '';
    for (const turn of turns) {
      const space = kind === 'text' ? spaceBetween(before, turn) : '';
      elements.push(turnElement({ ...turn, text: space + turn.text }, kind));
      before += space + turn.text;
    }
    const last = elements.length - 1;
    for (const [index, turn] of turns.entries()) {
      // One text has one foot.
      if (kind === 'text' && index < last) continue;
      const foot = this.#foot(turn, kind === 'text' ? before : turn.text, index === last);
      if (foot) elements[index]?.append(foot);
    }
    this.#turns.replaceChildren(...elements);
    this.scrollToEnd();
  }

  /** Adds the beginning of an answer, which shows what is appended at the next frame. */
  beginAnswer(kind: ConversationKind): AnswerView {
    for (const actions of this.#turns.querySelectorAll('.last-actions, [data-kind="text"] .turn-foot')) {
      actions.remove();
    }
    const element = turnElement({ role: 'assistant', text: '' }, kind);
    element.classList.add('growing');
    this.#turns.querySelector('.welcome')?.remove();
    this.#turns.append(element);
    const text = new FrameText(growingText(element, kind), () => this.#follow());
    const remark = make('p', { className: 'remark' });
    element.append(remark);
    this.#follow();
    return {
      append: (piece) => text.append(piece),
      remark: (line) => {
        if (remark.textContent !== line) remark.textContent = line;
      },
    };
  }

  /** How an answer came about, and what can be done with it; undefined where that is nothing. */
  #foot({ role, remark = '' }: Turn, text: string, isLast: boolean): HTMLElement | undefined {
    const children: HTMLElement[] = [];
    if (role === 'assistant') children.push(make('p', { className: 'remark' }, remark), copyButton(text));
    if (isLast) {
      const label = role === 'assistant' ? 'Regenerate' : 'Answer';
      const again = makeButton(label, 'quiet small last-actions', () => this.#listener.onRegenerate());
      again.id = 'regenerate';
      children.push(again);
    }
    return children.length > 0 ? make('div', { className: 'turn-foot' }, ...children) : undefined;
  }

  scrollToEnd(): void {
    this.#follows = true;
    this.#follow();
    this.#toEnd.hidden = true;
  }

  #follow(): void {
    if (this.#follows) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #noteScroll(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.#log;
    this.#follows = scrollTop + clientHeight >= scrollHeight - endSlack;
    this.#toEnd.hidden = this.#follows;
  }
}

function turnElement({ role, text }: Turn, kind: ConversationKind): HTMLElement {
  const body = make('div', { className: 'turn-text' });
  const element = make('article', { className: `turn ${role}` }, body);
  element.setAttribute('aria-label', role === 'user' ? 'You' : 'Model');
  if (role === 'user') body.textContent = text;
  else if (text !== '') growingText(element, kind).append(text);
  return element;
}

/** Something that text can be added to. */
interface Growing {
  append(text: string): void;
}

function growingText(turn: HTMLElement, kind: ConversationKind): Growing {
  const body = turn.querySelector<HTMLElement>('.turn-text') ?? turn;
  if (kind === 'chat') return new MarkdownText(body);
  const text = new Text();
  body.append(text);
  return { append: (piece) => text.appendData(piece) };
}

/** Gathers text and hands it on once per frame. */
class FrameText implements Growing {
  readonly #target: Growing;
  readonly #onDrawn: () => void;
  #gathered = '';

  constructor(target: Growing, onDrawn: () => void) {
    this.#target = target;
    this.#onDrawn = onDrawn;
  }

  append(text: string): void {
    if (text === '') return;
    if (this.#gathered === '') requestAnimationFrame(() => this.#draw());
    this.#gathered += text;
  }

  #draw(): void {
    this.#target.append(this.#gathered);
    this.#gathered = '';
    this.#onDrawn();
  }
}
