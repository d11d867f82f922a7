// Keys that act on the whole page, and the fields that keep theirs.

const UNTYPED = new Set(['checkbox', 'radio', 'button', 'submit', 'reset', 'file', 'range', 'color', 'image']);

/** Whether an element takes keys as text. */
function takesText(element: EventTarget | null): boolean {
  if (element instanceof HTMLInputElement) return !UNTYPED.has(element.type);
  if (element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return true;
  return element instanceof HTMLElement && element.isContentEditable;
}

/** Whether a key is meant for something else than the page: a field, an input method, a dialog. */
export function isTaken(event: KeyboardEvent): boolean {
  if (event.isComposing || event.defaultPrevented || takesText(event.target)) return true;
  return document.querySelector('dialog[open]') !== null;
}
