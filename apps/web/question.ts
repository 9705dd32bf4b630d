/** A question that is answered with yes or no, in a dialog. */
import { find } from './dom.ts';

export async function ask(question: string, yes: string): Promise<boolean> {
  const dialog = find('question', HTMLDialogElement);
  find('question-text', HTMLParagraphElement).textContent = question;
  find('question-yes', HTMLButtonElement).textContent = yes;
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  return dialog.returnValue === 'yes';
}
