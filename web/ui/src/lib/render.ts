// The answer's text as blocks of plain text and marks. Whatever else a model writes stays text.

export type Piece = { kind: 'text'; text: string } | { kind: 'mark'; marker: number };

export type AnswerBlock =
  | { kind: 'paragraph'; pieces: Piece[] }
  | { kind: 'list'; ordered: boolean; first: number; items: Piece[][] };

const BULLET = /^\s*[-*•]\s+(.*)$/;
const NUMBERED = /^\s*(\d{1,3})[.)]\s+(.*)$/;
const MARK = /\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]/g;

/** Cuts an answer into paragraphs and lists. */
export function renderAnswer(text: string): AnswerBlock[] {
  const blocks: AnswerBlock[] = [];
  let paragraph: string[] = [];
  let list: Extract<AnswerBlock, { kind: 'list' }> | null = null;
  const close = (): void => {
    if (paragraph.length > 0) blocks.push({ kind: 'paragraph', pieces: pieces(paragraph.join(' ')) });
    paragraph = [];
  };
  for (const line of text.split(/\r?\n/)) {
    const item = listItem(line);
    if (item) {
      close();
      if (!list || list.ordered !== (item.number !== null)) {
        list = { kind: 'list', ordered: item.number !== null, first: item.number ?? 1, items: [] };
        blocks.push(list);
      }
      list.items.push(pieces(item.text));
      continue;
    }
    if (line.trim() === '') {
      close();
      continue;
    }
    list = null;
    paragraph.push(line.trim());
  }
  close();
  return blocks;
}

function listItem(line: string): { number: number | null; text: string } | null {
  const numbered = NUMBERED.exec(line);
  if (numbered) return { number: Number(numbered[1]), text: numbered[2] ?? '' };
  const bullet = BULLET.exec(line);
  return bullet ? { number: null, text: bullet[1] ?? '' } : null;
}

/** Cuts a run of text at its marks: `[2]`, `[1][3]` and `[1, 3]`. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(MARK)) {
    // The space before a mark goes, so that a mark never stands alone at the start of a line.
    const before = text.slice(from, match.index).replace(/\s+$/, '');
    if (before !== '') found.push({ kind: 'text', text: before });
    for (const number of (match[1] ?? '').split(/[,;]/)) found.push({ kind: 'mark', marker: Number(number) });
    from = match.index + match[0].length;
  }
  const rest = text.slice(from);
  if (rest !== '') found.push({ kind: 'text', text: rest });
  return found;
}
