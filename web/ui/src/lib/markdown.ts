// Markdown as a reader meets it: its marks are left out where that takes no letter away. Offsets are never reckoned in
// what comes out here: it is for the eye alone.

import type { Run } from './pagetext.ts';

const NAME = /\.(md|markdown|mdown)$/i;
const HEADING = /^ {0,3}#{1,6}[ \t]+(?=\S)/;
const HEADINGS = /^ {0,3}#{1,6}[ \t]+(?=\S)/gm;
const BOLD = '**';

export function isMarkdownName(name: string): boolean {
  return NAME.test(name);
}

/** A heading without its leading `#`. */
export function plainHeading(text: string): string {
  return withoutBold(text.replace(HEADING, ''));
}

/** Text of several lines without the marks of headings and of bold type. */
export function plainText(text: string): string {
  return withoutBold(text.replace(HEADINGS, ''));
}

/** Marks that do not come in pairs within a paragraph are text. */
function withoutBold(text: string): string {
  return text
    .split(/(\n\s*\n)/)
    .map((part) => (isPaired(part) ? part.replaceAll(BOLD, '') : part))
    .join('');
}

function isPaired(text: string): boolean {
  const marks = text.split(BOLD).length - 1;
  return marks % 2 === 0 && !text.includes('***') && !text.includes('`');
}

/** The same for runs of one block; what is quoted stays quoted. A mark that a quote cuts in two stays as it is. */
export function plainRuns(runs: readonly Run[], heading: boolean): Run[] {
  const whole = runs.map((run) => run.text).join('');
  const within = runs.reduce((sum, run) => sum + run.text.split(BOLD).length, -runs.length);
  const bold = isPaired(whole) && within === whole.split(BOLD).length - 1;
  const plain = runs.map(({ text, quoted }, at) => {
    const opened = heading && at === 0 ? text.replace(HEADING, '') : text;
    return { text: bold ? opened.replaceAll(BOLD, '') : opened, quoted };
  });
  return plain.filter((run) => run.text !== '');
}
