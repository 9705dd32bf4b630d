/** What a page tells screen readers, and whether its text can be read. */
import type { Page } from 'playwright-core';

const controls = new Set(['button', 'link', 'textbox', 'spinbutton', 'combobox', 'checkbox', 'progressbar']);
const named = new Set([...controls, 'dialog', 'navigation', 'complementary', 'log', 'region']);

/** Controls and landmarks of the accessibility tree, as `role name`. */
export async function rolesOf(page: Page): Promise<string[]> {
  const devtools = await page.context().newCDPSession(page);
  const { nodes } = await devtools.send('Accessibility.getFullAXTree');
  await devtools.detach();
  return nodes
    .filter(({ ignored, role }) => !ignored && named.has(String(role?.value)))
    .map(({ role, name }) => `${role?.value} ${String(name?.value ?? '').trim()}`);
}

/** Those that say nothing of themselves. */
export async function namelessControls(page: Page): Promise<string[]> {
  return (await rolesOf(page)).filter((line) => controls.has(line.trim()));
}

/** Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2, AA), and how much it is. */
export function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const over = (colour: string, below: readonly number[]): number[] => {
      if (!canvas) return [];
      canvas.fillStyle = `rgb(${below.join(' ')})`;
      canvas.fillRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    };
    const backgroundOf = (element: Element | null): number[] => {
      if (!element) return [255, 255, 255];
      return over(getComputedStyle(element).backgroundColor, backgroundOf(element.parentElement));
    };
    const luminance = (channels: readonly number[]): number => {
      const [red = 0, green = 0, blue = 0] = channels.map((channel) => {
        const value = channel / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const faint: string[] = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const text = (node.textContent ?? '').trim();
      if (!element || text === '' || !element.checkVisibility({ visibilityProperty: true })) continue;
      if (element.closest('button:disabled')) continue;
      const behind = backgroundOf(element);
      const [one, other] = [luminance(over(getComputedStyle(element).color, behind)), luminance(behind)];
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      if (contrast < 4.5) faint.push(`${contrast.toFixed(1)}: ${text.slice(0, 40)}`);
    }
    return faint;
  });
}
