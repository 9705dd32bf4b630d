/** Chat templates: what they are given, how they fail, and that none runs away. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Template } from '@huggingface/jinja';
import {
  type ChatMessage,
  fallbackTemplate,
  openChatTemplate,
  openTokenizer,
  type RenderOptions,
} from '../tokenizer.ts';
import { missing, sharedModel, sharedText } from './fixture/shared-models.ts';
import { bytePairOf, sentencePieceOf } from './fixture/small-vocabularies.ts';
import { formatTime } from './template-globals.ts';

function render(
  source: string,
  messages: readonly ChatMessage[] = [],
  options: RenderOptions = {},
  more = {},
): string {
  const metadata = sentencePieceOf([], { 'tokenizer.chat_template': source, ...more });
  const template = openChatTemplate(metadata, openTokenizer(metadata));
  assert.ok(template);
  return template.render(messages, options);
}

const hello: ChatMessage[] = [{ role: 'user', content: 'Hi' }];

test('messages, markers and the generation prompt', () => {
  const source =
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
  assert.equal(render(source, hello), '<s>[user]Hi</s>[assistant]');
  assert.equal(render(source, hello, { addGenerationPrompt: false }), '<s>[user]Hi</s>');
});

test('tools and variables', () => {
  const source = '{% if tools is none %}none{% else %}{{ tools[0] | tojson }}{% endif %} {{ mood }}';
  assert.equal(render(source, [], { variables: { mood: 'calm' } }), 'none calm');
  assert.equal(render(source, [], { tools: [{ name: 'f', n: [1, 'é'] }] }), '{"name": "f", "n": [1, "é"]} ');
  assert.equal(render('{{ bos_token }}', [], { variables: { bos_token: 'x' } }), 'x');
  const named = { 'tokenizer.chat_template.tool_use': 'with tools' };
  assert.equal(render('plain', [], {}, named), 'plain');
  assert.equal(render('plain', [], { tools: [{}] }, named), 'with tools');
});

test('the time', () => {
  const now = new Date(2024, 2, 5, 15, 4, 9);
  assert.equal(render("{{ strftime_now('%d %b %Y') }}", [], { now }), '05 Mar 2024');
  assert.equal(
    formatTime(now, '%A, %B %-d, %I:%M %p, %j, %y, %H:%M:%S, %F %T %% %Q'),
    'Tuesday, March 5, 03:04 PM, 065, 24, 15:04:09, 2024-03-05 15:04:09 % %Q',
  );
});

test('blocks take their line, generation tags vanish', () => {
  assert.equal(render('a\n  {% if true %}\nb\n  {% endif %}\nc'), 'a\nb\nc');
  assert.equal(render('{% generation %}x{% endgeneration %}'), 'x');
});

test('a template may refuse the messages', () => {
  assert.throws(() => render("{{ raise_exception('Roles\\n must alternate') }}"), {
    code: 'bad-argument',
    message: /does not accept these messages: Roles must alternate/,
  });
});

test('a broken template fails when it renders, in one line', () => {
  for (const source of [
    '{% if %}',
    '{{ x',
    '{{ 1 + none }}',
    "{{ 'a' | nonsense }}",
    '{% for %}',
    '{{ undefined_function() }}',
  ]) {
    assert.throws(
      () => render(source),
      (error: Error & { code?: string }) => {
        return error.code === 'bad-file' && !error.message.includes('\n') && error.message.length < 400;
      },
    );
  }
  const metadata = sentencePieceOf([]);
  assert.equal(openChatTemplate(metadata, openTokenizer(metadata)), undefined);
});

const doubled =
  "{% set ns = namespace(x='ab') %}{% for i in range(18) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
const runaways: { readonly [name: string]: string } = {
  range: '{% for i in range(10000000000) %}{% endfor %}',
  'nested loops': '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
  recursion: '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
  'tree of calls':
    '{% macro f(n) %}{% if n > 0 %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}',
  'doubled text':
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
  'doubled list':
    '{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}',
  'doubled mapping':
    "{% set ns = namespace(x={}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x == '' }}",
  'namespaces in a ring': '{% set a = namespace() %}{% set b = namespace(x=a) %}{% set a.x = b %}{{ a }}',
  join: `${doubled}{{ range(100000) | join(ns.x) | length }}`,
  'replace filter': `${doubled}{{ ns.x | replace('a', ns.x) | length }}`,
  'replace method, by another name': `${doubled}{% set f = ns.x.replace %}{{ f('b', ns.x) | length }}`,
  indent: "{{ 'a\nb' | indent(500000000) | length }}",
  'indented JSON': '{{ [[[1]]] | tojson(indent=100000000) | length }}',
  'filter block': '{% filter indent(width=500000000) %}a\nb{% endfilter %}',
  'search in a loop': `${doubled}{% for i in range(100000) %}{% if 'zz' in ns.x %}{% endif %}{% endfor %}`,
  'print in a loop': '{% set a = range(20000) %}{% for i in range(100000) %}{{ a }}{% endfor %}',
  'split in a loop': `${doubled}{% for i in range(10000) %}{% set y = ns.x.split('a') %}{% endfor %}`,
  'sort in a loop': '{% for i in range(100000) %}{% set y = range(1000) | sort %}{% endfor %}',
  'macro in a loop': `{% for i in range(100000) %}{% macro f() %}${'{{ 1 }}'.repeat(9000)}{% endmacro %}{% endfor %}`,
  parentheses: `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`,
  blocks: `${'{% if true %}'.repeat(20_000)}${'{% endif %}'.repeat(20_000)}`,
  'white space': ' '.repeat(400_000),
  length: 'x'.repeat(1_000_000),
};

for (const [name, source] of Object.entries(runaways)) {
  test(`no template runs away: ${name}`, () => {
    assert.throws(() => render(source, hello), { code: 'bad-file' });
  });
}

test('long conversations and long messages are no runaways', () => {
  const source =
    "{% for m in messages %}{% if 'x' in m.content and loop.index0 < messages | length %}{{ m.content.split('</think>')[-1] | trim }}{% endif %}{% endfor %}";
  const many = Array.from({ length: 3000 }, (_, index) => ({ role: 'user', content: `x ${index}` }));
  assert.equal(render(source, many).length, many.map(({ content }) => content).join('').length);
  const long = [{ role: 'user', content: 'x'.repeat(2_000_000) }];
  assert.equal(render(source, long).length, 2_000_000);
});

test('without a template: ChatML where the vocabulary has it, else plain text', () => {
  const messages: ChatMessage[] = [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'H' },
        { type: 'text', text: 'i' },
      ],
    },
    { role: 'assistant', content: null },
  ];
  const plain = fallbackTemplate(openTokenizer(sentencePieceOf([])));
  assert.equal(plain.render(messages), 'Be brief.\n\nHi\n\n');
  const markers = bytePairOf([], {}, [
    ['<|im_start|>', 0, 'control'],
    ['<|im_end|>', 0, 'control'],
  ]);
  const chatMl = fallbackTemplate(openTokenizer(markers));
  assert.equal(chatMl.render(hello), '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
  assert.equal(chatMl.render(hello, { addGenerationPrompt: false }), '<|im_start|>user\nHi<|im_end|>\n');
});

const folder = 'chat-templates';
const skip = missing(folder);

test('published templates', { skip }, () => {
  const published = (name: string, messages: readonly ChatMessage[]): string =>
    render(sharedText(`${folder}/${name}.jinja`), messages);
  assert.equal(
    published('Qwen-Qwen2.5-7B-Instruct', [{ role: 'system', content: 'Be brief.' }, ...hello]),
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  );
  assert.equal(published('microsoft-Phi-3.5-mini-instruct', hello), '<|user|>\nHi<|end|>\n<|assistant|>\n');
  assert.equal(published('mistralai-Mistral-Nemo-Instruct-2407', hello), '<s>[INST]Hi[/INST]');
  assert.throws(() => published('mistralai-Mistral-Nemo-Instruct-2407', [...hello, ...hello]), {
    code: 'bad-argument',
  });
});

test('the budget changes nothing in published templates', { skip }, () => {
  const messages: ChatMessage[] = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi é' },
    { role: 'assistant', content: '<think>\nhm\n</think>\n\nHello' },
    { role: 'user', content: 'Bye' },
  ];
  const parameters = {
    type: 'object',
    properties: {
      city: { type: 'string', description: 'City' },
      days: { type: 'array', items: { type: 'integer' } },
    },
    required: ['city'],
  };
  const tool = { type: 'function', function: { name: 'weather', description: 'Weather', parameters } };
  const names = readdirSync(sharedModel(folder));
  assert.ok(names.length >= 7);
  for (const name of names) {
    const source = sharedText(`${folder}/${name}`);
    for (const tools of [undefined, [tool]]) {
      const markers = { bos_token: '<s>', eos_token: '</s>', documents: null, add_generation_prompt: true };
      const expected = new Template(source).render({ messages, tools: tools ?? null, ...markers });
      assert.equal(render(source, messages, tools ? { tools } : {}), expected, name);
    }
  }
});
