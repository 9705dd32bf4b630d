/**
 * Markdown as it is written: what ends in the middle is drawn as far as it goes, and each draw costs the last block only.
 * Elements are made of the parser's tokens; markup and pictures in the text stay text, so nothing is fetched or run.
 */
import { lexer, type MarkedToken, type Token, type Tokens } from 'marked';
import { copyButton, make } from './dom.ts';

export class MarkdownText {
  readonly #target: HTMLElement;
  #text = '';
  /** Up to here the text's blocks are complete, and drawn. */
  #drawnEnd = 0;
  /** Elements of the block that may still grow. */
  #growing: readonly Node[] = [];

  constructor(target: HTMLElement) {
    this.#target = target;
  }

  append(text: string): void {
    this.#text += text.replaceAll('\r', '');
    for (const node of this.#growing) node.parentNode?.removeChild(node);
    const tokens = lexer(this.#text.slice(this.#drawnEnd), { gfm: true, breaks: true });
    const last = tokens.findLastIndex(({ type }) => type !== 'space');
    const before = tokens.slice(0, Math.max(0, last));
    this.#target.append(...nodesOf(before));
    this.#drawnEnd += before.reduce((length, { raw }) => length + raw.length, 0);
    this.#growing = nodesOf(tokens.slice(Math.max(0, last)));
    this.#target.append(...this.#growing);
  }
}

function nodesOf(tokens: readonly Token[] = []): Node[] {
  return tokens.flatMap((token) => nodeOf(token as MarkedToken));
}

function nodeOf(token: MarkedToken): Node | Node[] {
  switch (token.type) {
    case 'space':
    case 'def':
      return [];
    case 'paragraph':
      return make('p', {}, ...nodesOf(token.tokens));
    case 'text':
    case 'escape':
      return 'tokens' in token && token.tokens ? nodesOf(token.tokens) : new Text(resolved(token.text));
    case 'heading':
      // The page's own headings are above.
      return make(token.depth === 1 ? 'h3' : 'h4', {}, ...nodesOf(token.tokens));
    case 'strong':
    case 'em':
    case 'del':
      return make(token.type, {}, ...nodesOf(token.tokens));
    case 'codespan':
      return make('code', {}, token.text);
    case 'br':
    case 'hr':
      return make(token.type);
    case 'blockquote':
      return make('blockquote', {}, ...nodesOf(token.tokens));
    case 'code':
      return codeBlock(token);
    case 'list':
      return list(token);
    case 'checkbox':
      return new Text(token.checked ? '☑ ' : '☐ ');
    case 'list_item':
      return make('li', {}, ...nodesOf(token.tokens));
    case 'table':
      return table(token);
    case 'link':
      return link(token);
    default:
      return new Text(token.raw);
  }
}

function codeBlock({ text, lang = '' }: Tokens.Code): HTMLElement {
  const head = make(
    'div',
    { className: 'code-head' },
    make('span', {}, lang.split(/\s/)[0] ?? ''),
    copyButton(text),
  );
  return make('div', { className: 'code' }, head, make('pre', { tabIndex: 0 }, make('code', {}, text)));
}

function list({ ordered, start, items }: Tokens.List): HTMLElement {
  const children = items.map((item) => make('li', {}, ...nodesOf(item.tokens)));
  return ordered ? make('ol', { start: Number(start) || 1 }, ...children) : make('ul', {}, ...children);
}

function table({ header, rows }: Tokens.Table): HTMLElement {
  const row = (tag: 'th' | 'td', cells: readonly Tokens.TableCell[]) =>
    make('tr', {}, ...cells.map(({ tokens }) => make(tag, {}, ...nodesOf(tokens))));
  const head = make('thead', {}, row('th', header));
  const body = make('tbody', {}, ...rows.map((cells) => row('td', cells)));
  return make('div', { className: 'wide', tabIndex: 0 }, make('table', {}, head, body));
}

function link({ href, tokens }: Tokens.Link): Node | Node[] {
  const isSafe = /^(https?:|mailto:)/i.test(href);
  if (!isSafe) return nodesOf(tokens);
  return make('a', { href, target: '_blank', rel: 'noopener noreferrer' }, ...nodesOf(tokens));
}

const references: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

function resolved(text: string): string {
  return text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (whole, name: string) => references[name] ?? whole);
}
