// What is put on the clipboard.

import type { Answer, Citation } from './wire.ts';

/** One quote with where it stands. */
export function citationText(citation: Pick<Citation, 'quote' | 'name' | 'page' | 'place'>): string {
  const place = citation.place ? `, ${citation.place}` : '';
  return `“${citation.quote}” (${citation.name}, page ${citation.page}${place})`;
}

/** The answer, its sources, and the receipt that it can be looked up by. */
export function answerText(answer: Answer): string {
  const lines = [answer.answer.trim()];
  if (answer.citations.length > 0) {
    lines.push('', ...answer.citations.map((citation) => `[${citation.marker}] ${citationText(citation)}`));
  }
  lines.push('', `Question: ${answer.question}`, `Receipt ${answer.audit}`);
  return lines.join('\n');
}
