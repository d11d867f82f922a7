// What the test server holds at its start. It is never shipped: it speaks the server's language for tests of the page.

import { boxOf, makePdf } from '../fixtures/pdf.mjs';

const line = (y, text) => ({ x: 72, y, text });

/** Three pages: a plain one, one whose crop box is off its media box, one far down with long text between. */
export const LEASE = [
  {
    width: 612,
    height: 792,
    lines: [
      line(720, 'LEASE OF 14 QUAYSIDE ROW'),
      line(690, '2. Term'),
      line(672, 'The term begins on 1 April 2023 and ends on 31 March 2033.'),
      ...Array.from({ length: 30 }, (_, at) => line(640 - at * 18, `Clause 2.${at + 2} has words of its own.`)),
    ],
  },
  {
    width: 700,
    height: 900,
    crop: [50, 60, 650, 860],
    lines: [
      line(820, '4. Rent'),
      line(800, 'The yearly rent is EUR 84,000 in twelve equal parts.'),
      ...Array.from({ length: 30 }, (_, at) => line(770 - at * 18, `Clause 4.${at + 2} has words of its own.`)),
    ],
  },
  {
    width: 842,
    height: 595,
    lines: [line(100, 'Notices are given in writing by registered letter.')],
  },
];

const linesOf = (page) => page.lines.map((one) => one.text).join('\n');
const NOTES =
  '# Handover note\n\nThe key of the archive is kept by Jonas 𝒳.\n\n- alarm code: in the safe\n- lift: serviced in May';

function pdfPages() {
  let start = 0;
  return LEASE.map((page, at) => {
    const [left, bottom, right, top] = page.crop ?? [0, 0, page.width, page.height];
    const view = {
      page: at + 1,
      place: null,
      width: right - left,
      height: top - bottom,
      text: linesOf(page),
      start,
      words: [],
      blocks: [],
    };
    start += [...view.text].length + 2;
    return view;
  });
}

/** The pages of the note, or of a later version of it. */
export function notePages(text = NOTES) {
  const at = (part) => {
    const start = [...text.slice(0, text.indexOf(part))].length;
    return { start, end: start + [...part].length };
  };
  const blocks = [
    { kind: 'heading', level: 1, ...at('# Handover note') },
    { kind: 'paragraph', level: 0, ...at('The key of the archive is kept by Jonas 𝒳.') },
    { kind: 'list_item', level: 0, ...at('- alarm code: in the safe') },
    { kind: 'list_item', level: 0, ...at('- lift: serviced in May') },
  ];
  return [
    { page: 1, place: null, width: 0, height: 0, text, start: 0, words: [], blocks: text === NOTES ? blocks : [] },
  ];
}

function document(id, name, more = {}) {
  return {
    id,
    name,
    collection: 'c1',
    status: 'ready',
    bytes: 37_674,
    pages: 1,
    passages: 4,
    format: 'pdf',
    title: null,
    version: 1,
    added: '2026-11-20T09:00:00Z',
    gaps: [],
    error: null,
    job: null,
    ...more,
  };
}

export function documents() {
  return [
    {
      info: document('lease', 'lease-quayside-row.pdf', { pages: 3, passages: 14 }),
      pages: pdfPages(),
      bytes: makePdf(LEASE),
    },
    {
      info: document('note', 'handover-note.md', { format: 'markdown', bytes: 821 }),
      pages: notePages(),
      bytes: Buffer.from(NOTES),
    },
    {
      info: document('record', 'scans/inspection-record-2025-09.pdf', {
        status: 'partial',
        pages: 6,
        gaps: [
          { page: 4, reason: 'a picture without text' },
          { page: 5, reason: 'a picture without text' },
        ],
      }),
      pages: pdfPages(),
      bytes: makePdf(LEASE),
    },
    {
      info: document('sealed', 'sealed.pdf', {
        status: 'failed',
        pages: 0,
        passages: 0,
        error: { code: 'encrypted', message: 'needs a password' },
      }),
      pages: [],
      bytes: Buffer.from('%PDF-1.7'),
    },
  ];
}

/** A passage or citation of words that stand in a document. */
function place(held, page, words) {
  const view = held.pages[page - 1];
  const start = view.start + [...view.text.slice(0, view.text.indexOf(words))].length;
  const boxes = held.info.format === 'pdf' ? [boxOf(LEASE, page, words)] : [];
  const { id, name } = held.info;
  return {
    document: id,
    name,
    version: held.info.version,
    page,
    place: null,
    start,
    end: start + [...words].length,
    boxes,
  };
}

export function quote(held, marker, page, words, verified = true) {
  return { marker, ...place(held, page, words), quote: words, verified };
}

export function passage(held, rank, page, words, path = []) {
  return { rank, score: 1 / rank, ...place(held, page, words), text: words, heading_path: path };
}

export const TERM = 'ends on 31 March 2033.';
export const RENT = 'yearly rent is EUR 84,000';
export const KEY = 'kept by Jonas 𝒳';
