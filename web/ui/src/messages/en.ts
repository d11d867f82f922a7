// Every text that the page shows, in English.

import { bytes, day, duration, number, timeLeft } from '../lib/format.ts';
import type { Row } from '../lib/rows.ts';
import type { Answer, AnswerState, Coverage, Job, Level, Role } from '../lib/wire.ts';

function count(amount: number, one: string, many: string): string {
  return `${number(amount)} ${amount === 1 ? one : many}`;
}

const documents = (amount: number): string => count(amount, 'document', 'documents');
const pages = (amount: number): string => count(amount, 'page', 'pages');

const FAULTS: Record<string, string> = {
  encrypted: 'It is protected by a password. Save a copy without the password and add that.',
  damaged: 'The file is damaged: its structure could not be read. Try to open it and save it again.',
  unsupported: 'This type of file is not supported. PDF, Word (.docx), HTML, Markdown, plain text and mail (.eml) are.',
  empty: 'It holds no text.',
  limit: 'It is larger than this appliance is set up to read.',
  crashed: 'Reading it failed in the reader, which was stopped. Other documents are not affected.',
  cancelled: 'Stopped before it was read.',
  too_large: 'It is larger than this appliance accepts.',
  disk_full: 'The disk of the appliance is full. Remove documents or free space, then try again.',
};

const PROBLEMS: Record<string, string> = {
  too_many_attempts: 'Too many attempts. Wait a few minutes, then try again.',
  unreachable: 'The appliance does not answer. Check that it is running; this page goes on when it is back.',
  broken_off: 'The connection was lost before the answer was complete. Ask again.',
  csrf: 'This page is out of date. Load it again.',
  too_large: 'That is larger than this appliance accepts.',
};

const OUTCOMES: Record<AnswerState, { title: string; text: string }> = {
  answered: { title: 'Answered from the documents', text: 'Every sentence rests on the marked quotes.' },
  related: {
    title: 'Related text, but no answer',
    text: 'Passages with related words were found, but none answers the question. The nearest ones are listed above.',
  },
  nothing: {
    title: 'Nothing found',
    text: 'No passage that shares a word with the question was found. Try other words, or a wider scope.',
  },
  unread: {
    title: 'Part of the scope could not be read',
    text: 'The pages that were read do not answer the question. The answer may stand on a page that was not read.',
  },
};

const ACTIONS: Record<string, string> = {
  queued: 'Queued',
  reading: 'Reading',
  embedding: 'Indexing',
  indexing: 'Indexing',
  ready: 'Ready',
  partial: 'Ready with gaps',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export const en = {
  product: 'Cloister',
  claim: 'Nothing leaves this machine',
  skip: 'Skip to the question',
  cancel: 'Cancel',
  loading: 'Loading …',
  unreachable: 'The appliance does not answer. Check that it is running, then try again.',
  again: 'Try again',
  notFound: 'There is nothing at this address.',
  toDesk: 'To the documents',
  titleOf: (view: string): string => `${view} – Cloister`,

  problem: (code: string, detail: string): string => PROBLEMS[code] ?? detail,
  fault: (fault: { code: string; message: string }): string =>
    FAULTS[fault.code] ?? (fault.message === '' ? 'It could not be taken in.' : fault.message),

  nav: {
    label: 'Main',
    desk: 'Documents',
    audit: 'Audit log',
    people: 'People',
    status: 'Status',
    account: 'Your account',
    signOut: 'Sign out',
  },

  setup: {
    title: 'Set up this appliance',
    lead: 'Make the first administrator. The one-time code stands in the window or log where the appliance was started.',
    code: 'One-time code',
    name: 'Name',
    password: 'Password',
    passwordHint: 'At least 10 characters.',
    wrong: 'The one-time code is wrong or was used already. It is printed anew each time the appliance starts.',
    submit: 'Set up',
  },
  login: {
    title: 'Sign in',
    wrong: 'Name or password is wrong.',
    ended: 'Your session has ended. Sign in to go on.',
    name: 'Name',
    password: 'Password',
    submit: 'Sign in',
  },

  collections: {
    title: 'Collections',
    add: 'New collection',
    name: 'Name of the new collection',
    create: 'Create',
    noneGranted: 'No collection has been granted to you yet. Ask an administrator.',
    summary: (amount: number, unread: number): string =>
      unread > 0 ? `${documents(amount)}, ${pages(unread)} unread` : documents(amount),
    remove: 'Remove collection',
    removeOf: (name: string): string => `Remove the collection ${name}`,
    removeAsk: (name: string): string => `Remove the collection “${name}”?`,
    removeText: (amount: number): string =>
      amount === 0
        ? 'It holds no documents. A record of the deletion is kept in the audit log. This cannot be undone.'
        : `${amount === 1 ? 'Its only document is' : `All of its ${documents(amount)} are`} deleted, with text, index and bytes, and a record of the deletion is kept in the audit log. This cannot be undone.`,
    removed: (name: string): string => `Collection ${name} removed.`,
    noneTitle: 'No collection yet',
    first: 'Start with a collection',
    firstLead:
      'A collection holds documents that belong together, such as one matter or one client. Questions are asked of one collection at a time.',
  },

  documents: {
    title: 'Documents',
    filter: 'Filter by name',
    tickAll: 'Tick all ready documents',
    tickShown: (amount: number): string => `Tick the ${count(amount, 'ready document', 'ready documents')} shown`,
    filtering: (amount: number): string => `Looking further: ${documents(amount)} so far`,
    tick: (name: string): string => `Ask of ${name}`,
    open: (name: string): string => `Open ${name}`,
    empty: 'No documents yet.',
    noMatch: 'No document has this in its name.',
    more: 'Show more',
    count: documents,
    pages,
    version: (version: number): string => `version ${version}`,
    gaps: (amount: number): string => `${pages(amount)} unread`,
    gapsOf: (name: string, amount: number): string => `${pages(amount)} unread in ${name}`,
    gap: (page: number, reason: string): string => (page > 0 ? `Page ${page}: ${reason}` : reason),
    retry: 'Retry',
    retryOf: (name: string): string => `Retry: read ${name} again`,
    stop: 'Stop',
    stopOf: (name: string): string => `Stop reading ${name}`,
    remove: 'Remove',
    removeOf: (name: string): string => `Remove ${name}`,
    removeAsk: (name: string): string => `Remove “${name}”?`,
    removeText:
      'Its text, its index and its bytes are deleted, and a record of the deletion is kept in the audit log. This cannot be undone.',
    removed: (name: string, passages: number, audit: number): string =>
      `${name} removed with ${count(passages, 'passage', 'passages')}. Receipt ${audit}.`,
    download: 'Download',
    downloadOf: (name: string): string => `Download ${name}`,
    offline: 'The connection to the appliance was lost. This list is brought up to date when it is back.',
    state: (row: Row): string => {
      const name = ACTIONS[row.state] ?? row.state;
      if (row.state === 'reading') {
        const left = row.secondsLeft === null ? '' : `, ${timeLeft(row.secondsLeft)}`;
        const of = row.pages === null ? `page ${number(row.page)}` : `page ${number(row.page)} of ${number(row.pages)}`;
        return `${name} ${of}${left}`;
      }
      return name;
    },
    progressOf: (name: string): string => `Reading ${name}`,
  },

  uploads: {
    title: 'Add documents',
    zone: 'Drop files or folders here',
    files: 'Choose files',
    folder: 'Choose folder',
    formats: 'PDF, Word (.docx), HTML, Markdown, plain text, mail (.eml)',
    local: 'Files are copied to this appliance and to nowhere else.',
    more: (amount: number): string => `and ${count(amount, 'file', 'files')} more`,
    moving: (amount: number): string => `${count(amount, 'file', 'files')} to upload`,
    cancelAll: 'Cancel all',
    cancelAllOf: (amount: number): string => `Cancel all: ${count(amount, 'upload', 'uploads')}`,
    cancelled: (amount: number): string => `${count(amount, 'upload', 'uploads')} cancelled.`,
    waiting: (size: number): string => `Waiting, ${bytes(size)}`,
    sending: (sent: number, size: number): string => `Uploading ${bytes(sent)} of ${bytes(size)}`,
    saving: 'Uploaded, being stored',
    progressOf: (name: string): string => `Uploading ${name}`,
    cancelOf: (name: string): string => `Cancel the upload of ${name}`,
    retryOf: (name: string): string => `Retry: upload ${name} again`,
    dismiss: 'Dismiss',
    dismissOf: (name: string): string => `Dismiss the note on ${name}`,
    keep: 'Keep both',
    keepOf: (name: string): string => `Keep both: ${name} as a document of its own`,
    unchangedState: 'Already here, unchanged',
    updatedState: (version: number | null, inForce: number | null): string => {
      if (version === null) return 'Replaced by a new version';
      return inForce === null || inForce >= version
        ? `Replaced: version ${number(version)}`
        : `New version ${number(version)}; until it has been read, version ${number(inForce)} is searched`;
    },
    duplicateState: (of: string): string => (of === '' ? 'Duplicate' : `Duplicate of ${of}`),
    failedState: 'Not taken in',
    taken: (amount: number): string => `${count(amount, 'file', 'files')} to upload.`,
    failed: (name: string): string => `${name} could not be uploaded.`,
    duplicate: (name: string, of: string): string => `${name} has the same content as ${of}.`,
    updated: (name: string, version: number): string => `${name} is replaced by version ${number(version)}.`,
    unchanged: (name: string): string => `${name} is already here, unchanged.`,
    note: ({ files, cut, unreadable }: { files: number; cut: boolean; unreadable: string[] }): string | null => {
      const notes: string[] = [];
      if (files === 0 && unreadable.length === 0) notes.push('There were no files in what was dropped.');
      if (cut) notes.push('There were more files than are taken at once (10,000). Add the rest afterwards.');
      if (unreadable.length > 0) notes.push(`Your browser could not read ${unreadable.slice(0, 5).join(', ')}.`);
      return notes.length > 0 ? notes.join(' ') : null;
    },
  },

  announce: {
    started: (name: string): string => `Reading ${name}.`,
    ended: (job: Job): string => {
      switch (job.state) {
        case 'ready':
          return `${job.name} is ready.`;
        case 'partial':
          return `${job.name} is ready with gaps: ${pages(job.gaps.length)} unread.`;
        case 'cancelled':
          return `${job.name} was stopped.`;
        case 'duplicate':
          return `${job.name} is a duplicate.`;
        default:
          return `${job.name} failed.`;
      }
    },
  },

  ask: {
    label: 'Question',
    searchLabel: 'Words to find',
    placeholder: 'Ask a question of the documents',
    searchPlaceholder: 'Find passages by words or meaning',
    mode: 'What to do',
    modeAsk: 'Ask',
    modeSearch: 'Find passages',
    submit: 'Ask',
    submitSearch: 'Find',
    stop: 'Stop',
    hint: (search: boolean): string =>
      `Enter ${search ? 'finds' : 'asks'}, Shift + Enter starts a new line, Ctrl + K comes back here.`,
    scope: 'Scope',
    scopeAll: (name: string, amount: number): string => `All of ${name} · ${documents(amount)}`,
    scopeTicked: (amount: number): string => `Only the ${count(amount, 'ticked document', 'ticked documents')}`,
    scopeClear: 'Use the whole collection',
    notReady: (amount: number): string => `${documents(amount)} still being read`,
    examples: 'Questions to try',
    noDocuments: 'Add documents to ask questions of them.',
    noneReady: 'The first document is being read. Questions can be asked as soon as it is ready.',
    phase: {
      idle: '',
      searching: 'Searching',
      waiting: 'Waiting',
      reading: 'Reading the evidence',
      answering: 'Answering',
      done: 'Done',
      stopped: 'Stopped',
      failed: 'Failed',
    },
    ahead: (amount: number): string =>
      amount === 0 ? 'Waiting for the model' : `Waiting: ${count(amount, 'question', 'questions')} ahead`,
    readShare: (done: number, total: number): string =>
      `Reading the evidence: ${number(done)} of ${count(total, 'passage', 'passages')} read`,
    elapsed: (seconds: number): string => duration(seconds),
    evidence: 'Evidence',
    evidenceCount: (amount: number, among: number): string =>
      `${count(amount, 'passage', 'passages')} from ${documents(among)}`,
    evidenceAll: (amount: number): string => `Show all ${number(amount)}`,
    evidenceFewer: 'Show fewer',
    page: (page: number): string => `page ${number(page)}`,
    textGone: 'Its text is no longer here.',
    results: 'Passages found',
    noResults: 'No passage was found for these words.',
    provisional: 'Provisional: not checked yet',
    provisionalText: 'Each sentence is checked against its quotes when the answer is complete.',
    stopped: 'Stopped.',
    stoppedText: 'You stopped this question.',
    stoppedBelow: 'Nothing below has been checked.',
    failed: 'The question could not be answered',
    started: 'Searching the documents.',
    foundPassages: (amount: number): string => `${count(amount, 'passage', 'passages')} found.`,
    announceAnswer: (answer: Answer): string =>
      answer.state === 'answered'
        ? `Answer complete: ${answer.answer.replace(/\s*\[[\d,;\s]+\]/g, '')} ${count(answer.citations.length, 'source', 'sources')}.`
        : `${OUTCOMES[answer.state].title}.`,
    announceFailure: (message: string): string => `The question failed: ${message}`,
    earlier: 'Earlier in this session',
  },

  outcome: (state: AnswerState): { title: string; text: string } => OUTCOMES[state],

  answer: {
    mark: (marker: number, page: number, verified: boolean): string =>
      `source ${marker}, page ${page}${verified ? ', verified' : ''}`,
    sources: 'Sources',
    verified: 'Verified',
    verifiedText:
      'The quote stands in the cited version of the document to the letter, and the sentence says nothing that the quote does not.',
    unverified: 'Not verified',
    unverifiedText: 'The version that this quote was made from is not here, or the quote does not stand there.',
    withheld: (amount: number): string =>
      `${count(amount, 'sentence was', 'sentences were')} withheld: what ${amount === 1 ? 'it' : 'they'} said could not be found in the quotes.`,
    coverage: (coverage: Coverage): string => `Looked at ${documents(coverage.documents)}, ${pages(coverage.pages)}`,
    unread: (coverage: Coverage): string => {
      const whole = coverage.unread.filter((gap) => gap.page === 0).length;
      const single = coverage.unread.length - whole;
      const parts = [single > 0 ? pages(single) : '', whole > 0 ? documents(whole) : ''].filter((part) => part !== '');
      return `Not read: ${parts.join(' and ')}`;
    },
    unreadDocument: 'whole document',
    unreadList: 'What was not read',
    unreadMore: (amount: number): string => `and ${number(amount)} more`,
    receipt: (audit: number): string => `Receipt ${audit}`,
    receiptLong: (audit: number): string => `Receipt ${audit}: permanent address of this answer`,
    model: (name: string): string => `Model ${name}`,
    noModel: 'No model was needed',
    took: (milliseconds: number): string => `${duration(milliseconds / 1000)}`,
    copy: 'Copy with citations',
    copied: 'Copied',
    copyQuote: 'Copy quote',
    copyQuoteOf: (marker: number): string => `Copy quote of source ${marker} with its citation`,
    copyFailed: 'The browser did not allow copying.',
    permanent: 'This is the answer as it was given. It does not change when documents do.',
  },

  viewer: {
    page: 'Page',
    of: (total: number): string => `of ${number(total)}`,
    previous: 'Previous page',
    next: 'Next page',
    larger: 'Larger',
    smaller: 'Smaller',
    fit: 'Fit width',
    original: 'Original',
    text: 'Text',
    show: 'Show',
    close: 'Close document',
    download: 'Download',
    pageLabel: (page: number): string => `Page ${page}`,
    citation: (at: number, total: number): string => `Source ${at} of ${total}`,
    nextCitation: 'Next source',
    previousCitation: 'Previous source',
    notHere: 'This page is not there.',
    removed: 'This document is no longer here. Of a cited quote, the words are kept with the receipt.',
    replaced: (version: number, on: string, by: number): string =>
      `Version ${number(version)}, replaced on ${day(on)} by version ${number(by)}. This is the text as it was cited.`,
    lost: (version: number | null): string =>
      version === null
        ? 'The receipt does not tell from which version of the document this quote was made, so it is shown alone.'
        : `The text of version ${number(version)} is not here. The quote is shown alone, as the receipt has it.`,
    astray: 'The quote was not found at its place in this version, so nothing is marked.',
    toCurrent: (version: number): string => `Open the current version, ${number(version)}`,
    failed: 'The original cannot be shown.',
    failedText: 'The text that was read from it can.',
    unreadPage: 'No text was read from this page.',
    unreadOf: (unread: number, total: number): string => `${number(unread)} of ${pages(total)} not read`,
    unreadWhole: 'Not read',
    faultsOf: (amount: number): string => `${pages(amount)} read with faults`,
    pagesFromTo: (from: number, to: number): string =>
      from === to ? `Page ${number(from)}` : `Pages ${number(from)} to ${number(to)}`,
    notesMore: (amount: number): string => `and ${number(amount)} more`,
    leftOut: 'The page is long: only the part around the quote is shown. Download the original for the rest.',
    noBoxes: 'The place on the page is not known; the text view marks the quote.',
  },

  audit: {
    title: 'Audit log',
    lead: 'Every sign-in, upload, view, search, question and deletion. Each record is chained to the one before.',
    number: 'No.',
    time: 'Time',
    actor: 'Who',
    action: 'Action',
    object: 'Object',
    outcome: 'Outcome',
    hash: 'Hash',
    filter: 'Filter',
    filterActor: 'Who',
    filterAction: 'Action',
    from: 'Up to record',
    apply: 'Show',
    clear: 'Clear',
    details: (seq: number, object: string): string => `${object}: details of record ${seq}`,
    none: 'No record matches.',
    next: 'Earlier records',
    first: 'Newest records',
    head: 'Head',
    exportTitle: 'Export',
    exportText:
      'Both files end with a signature, so that they can be checked elsewhere with the command “cloister audit verify”.',
    exportTurned: '“From day” is later than “To day”: no record lies between them.',
    onlyAuditors: 'Only administrators and auditors see the audit log.',
    exportFrom: 'From day',
    exportTo: 'To day',
    jsonl: 'Export JSON Lines',
    csv: 'Export CSV',
    verifyTitle: 'Verify',
    verify: 'Verify the log',
    verifying: 'Checking every record …',
    good: (records: number): string => `The log is whole: ${count(records, 'record', 'records')} checked.`,
    range: (first: number, last: number): string => `Records ${number(first)} to ${number(last)}`,
    signedBy: 'Signed by',
    bad: (seq: number | null): string =>
      seq === null ? 'The log is not whole.' : `The log is not whole: record ${number(seq)} is bad.`,
  },

  people: {
    title: 'People',
    lead: 'Who may sign in, and what they may see.',
    users: 'Users',
    userTable: 'Table of users',
    name: 'Name',
    role: 'Role',
    added: 'Added',
    state: 'State',
    active: 'Active',
    disabled: 'Disabled',
    add: 'Add user',
    password: 'Password',
    passwordHint: 'At least 10 characters.',
    disable: 'Disable',
    disableOf: (name: string): string => `Disable ${name}`,
    disableAsk: (name: string): string => `Disable ${name}?`,
    disableText: 'They are signed out and cannot sign in any more. What they did stays in the audit log.',
    setPassword: 'Set password',
    setPasswordOf: (name: string): string => `Set password of ${name}`,
    passwordSet: (name: string): string => `New password set for ${name}.`,
    userAdded: (name: string): string => `${name} added.`,
    userDisabled: (name: string): string => `${name} disabled.`,
    save: 'Save',
    grants: 'Rights',
    grantsLead: 'A user sees only the collections listed for them here. Administrators see all of them.',
    collection: 'Collection',
    user: 'User',
    level: 'May',
    grant: 'Grant',
    revoke: 'Revoke',
    revokeOf: (name: string): string => `Revoke the right of ${name}`,
    noGrants: 'Nobody has been granted this collection.',
    granted: (name: string): string => `Right granted to ${name}.`,
    revoked: (name: string): string => `Right of ${name} revoked.`,
    roles: { administrator: 'Administrator', auditor: 'Auditor', member: 'Member' } satisfies Record<Role, string>,
    levels: { read: 'Read and ask', write: 'Read, ask and add', manage: 'Manage' } satisfies Record<Level, string>,
    onlyAdministrators: 'Only administrators see this page.',
  },

  status: {
    title: 'Status',
    nothing: 'What leaves this machine: nothing',
    nothingText:
      'Documents are read, indexed and answered from on this machine. The appliance makes no connection of its own, and this page may load nothing from any other address: the browser enforces it.',
    connections: 'Connections of this page',
    connectionsText: 'Counted by your browser since the page was loaded.',
    address: 'Address',
    requests: 'Requests',
    thisAppliance: 'this appliance',
    models: 'Models',
    modelTable: 'Table of models',
    modelId: 'Model',
    modelRole: 'Task',
    modelKind: 'Kind',
    modelLicence: 'Licence',
    modelSize: 'On disk',
    modelMemory: 'Memory',
    modelState: 'State',
    inUse: 'in use',
    present: 'on disk',
    absent: 'not on disk',
    tooLarge: 'does not fit in memory',
    generator: 'Answers',
    embedder: 'Search by meaning',
    states: { ready: 'Ready', loading: 'Loading', missing: 'Missing', failed: 'Failed' },
    library: 'Library',
    version: 'Version',
    documents: 'Documents',
    passages: 'Passages',
    collections: 'Collections',
    edition: 'Index edition',
    disk: 'Free disk space',
    checks: 'Checks',
    ready: 'Ready to answer',
    notReady: 'Not ready to answer',
    good: 'good',
    bad: 'needs attention',
    licences: 'Licences of the software in this page',
  },

  account: {
    title: 'Your account',
    signedInAs: (name: string, role: string): string => `Signed in as ${name}, ${role.toLowerCase()}.`,
    keys: 'API keys',
    keysLead: 'A key lets a program act with your rights. It is shown once, when it is made.',
    label: 'What it is for',
    create: 'Create key',
    created: 'Created',
    lastUsed: 'Last used',
    never: 'never',
    revoke: 'Revoke',
    revokeOf: (label: string): string => `Revoke the key ${label}`,
    none: 'There are no keys.',
    once: 'Copy this key now. It is not shown again.',
    copy: 'Copy key',
    password: 'Password',
    newPassword: 'New password',
    change: 'Change password',
    changed: 'Password changed.',
  },
};
