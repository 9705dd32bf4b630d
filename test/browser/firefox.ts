/** Firefox for tests, where one is installed, driven by WebDriver BiDi: as much of it as one page needs. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface FirefoxPage {
  readonly version: string;
  goto(url: string): Promise<void>;
  /** The value of an expression, awaited; plain data only. */
  evaluate(expression: string): Promise<unknown>;
  /** Asks until the expression is true. */
  until(expression: string): Promise<void>;
  /** Presses keys one after the other. */
  press(keys: string): Promise<void>;
  /** PNG. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

const names = ['firefox-esr', 'firefox'];
const answerMs = 60_000;
/** Asking for permissions would wait for somebody. */
const preferences = [
  ['browser.shell.checkDefaultBrowser', false],
  ['datareporting.policy.dataSubmissionEnabled', false],
  ['app.update.enabled', false],
  ['dom.storageManager.prompt.testing', true],
  ['dom.storageManager.prompt.testing.allow', true],
] as const;

/** A page in a profile of its own, or why there is none here. */
export async function openFirefox(): Promise<FirefoxPage | { skip: string }> {
  const found = names.map((name) => ({ name, ...spawnSync(name, ['--version'], { encoding: 'utf8' }) }));
  const firefox = found.find(({ status }) => status === 0);
  if (!firefox) return { skip: 'no Firefox is installed (on Debian: apt-get install firefox-esr)' };
  const profile = mkdtempSync(join(tmpdir(), 'nearfield-firefox-'));
  writeFileSync(
    join(profile, 'user.js'),
    preferences.map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${value});\n`).join(''),
  );
  const parameters = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port=0'];
  const browser = spawn(firefox.name, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
  const close = async () => {
    const gone = new Promise((resolve) => browser.once('exit', resolve));
    browser.kill();
    await gone;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const address = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('Firefox told no address')), answerMs);
      browser.once('exit', (code) => reject(new Error(`Firefox ended with ${code}`)));
      createInterface({ input: browser.stderr }).on('line', (line) => {
        const [, found] = /^WebDriver BiDi listening on (ws:\S+)/.exec(line) ?? [];
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      });
    });
    const wire = await Wire.open(`${address}/session`);
    await wire.send('session.new', { capabilities: {} });
    const { contexts } = (await wire.send('browsingContext.getTree', {})) as {
      contexts: { context: string }[];
    };
    return pageOver(wire, contexts[0]?.context ?? '', firefox.stdout.trim(), close);
  } catch (error) {
    await close();
    throw error;
  }
}

function pageOver(wire: Wire, context: string, version: string, close: () => Promise<void>): FirefoxPage {
  const evaluate = async (expression: string): Promise<unknown> => {
    const answer = (await wire.send('script.evaluate', {
      expression: `(async () => JSON.stringify(await (${expression})))()`,
      target: { context },
      awaitPromise: true,
    })) as { type: string; result?: { value?: string }; exceptionDetails?: { text: string } };
    if (answer.type !== 'success') throw new Error(answer.exceptionDetails?.text ?? answer.type);
    return answer.result?.value === undefined ? undefined : JSON.parse(answer.result.value);
  };
  return {
    version,
    goto: async (url) =>
      void (await wire.send('browsingContext.navigate', { context, url, wait: 'complete' })),
    evaluate,
    async until(expression) {
      for (const beganMs = performance.now(); performance.now() - beganMs < answerMs; ) {
        if (await evaluate(expression)) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`Not so within a minute: ${expression}`);
    },
    async press(keys) {
      const actions = [...keys].flatMap((value) => [
        { type: 'keyDown', value },
        { type: 'keyUp', value },
      ]);
      await wire.send('input.performActions', {
        context,
        actions: [{ type: 'key', id: 'keyboard', actions }],
      });
    },
    async screenshot() {
      const { data } = (await wire.send('browsingContext.captureScreenshot', { context })) as {
        data: string;
      };
      return Buffer.from(data, 'base64');
    },
    close,
  };
}

/** Numbered commands over a socket, each with its answer. */
class Wire {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #count = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#take(String(data)));
    socket.addEventListener('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Firefox hung up'));
    });
  }

  static async open(url: string): Promise<Wire> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', () => reject(new Error(`No answer from ${url}`)), { once: true });
    });
    return new Wire(socket);
  }

  send(method: string, params: object): Promise<unknown> {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #take(text: string): void {
    const message = JSON.parse(text) as { id?: number; result?: unknown; error?: string; message?: string };
    const waiting = this.#waiting.get(message.id ?? 0);
    this.#waiting.delete(message.id ?? 0);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new Error(`${message.error}: ${message.message}`));
  }
}
