/** What was said, as it is shown: turns, an answer that grows frame by frame, and scrolling that follows it. */
import type { Conversation, ConversationKind, Turn } from './conversation.ts';
import { find, make, makeButton } from './dom.ts';
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
    this.#toEnd.addEventListener('click', () => this.scrollToEnd());
  }

  show(conversation: Conversation, welcome: string): void {
    const { kind, turns } = conversation;
    this.#turns.dataset.kind = kind;
    const nodes = turns.map((turn) => turnElement(turn, kind));
    this.#turns.replaceChildren(
      ...(nodes.length > 0 ? nodes : [make('p', { className: 'welcome' }, welcome)]),
    );
    this.#offerActions(turns.at(-1)?.role);
    this.scrollToEnd();
  }

  /** Adds the beginning of an answer, which shows what is appended at the next frame. */
  beginAnswer(kind: ConversationKind): AnswerView {
    for (const old of this.#turns.querySelectorAll('.turn-actions')) old.remove();
    const element = turnElement({ role: 'assistant', text: '' }, kind);
    element.classList.add('growing');
    this.#turns.append(element);
    const text = new FrameText(textOf(element, kind), () => this.#follow());
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

  scrollToEnd(): void {
    this.#follows = true;
    this.#follow();
    this.#toEnd.hidden = true;
  }

  #offerActions(last: Turn['role'] | undefined): void {
    if (last === undefined) return;
    const label = last === 'assistant' ? 'Regenerate' : 'Answer';
    const again = makeButton(label, 'quiet small', () => this.#listener.onRegenerate());
    again.id = 'regenerate';
    this.#turns.append(make('div', { className: 'turn-actions' }, again));
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

function turnElement({ role, text, remark }: Turn, kind: ConversationKind): HTMLElement {
  const label = role === 'user' ? 'You' : 'Model';
  const element = make('article', { className: `turn ${role}` });
  element.setAttribute('aria-label', label);
  const body = make('div', { className: 'turn-text' });
  element.append(body);
  if (role === 'user') body.textContent = text;
  else if (text !== '') textOf(element, kind).append(text);
  const copy = makeButton('Copy', 'quiet small', () => {
    void navigator.clipboard.writeText(text);
    copy.textContent = 'Copied';
  });
  if (role === 'assistant' && text !== '') {
    element.append(
      make('div', { className: 'turn-foot' }, make('p', { className: 'remark' }, remark ?? ''), copy),
    );
  }
  return element;
}

/** Something that text can be added to. */
interface Growing {
  append(text: string): void;
}

function textOf(turn: HTMLElement, kind: ConversationKind): Growing {
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
