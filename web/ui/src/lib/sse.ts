// Reads server-sent events from a fetch body, as the HTML standard (section 9.2.6) describes the stream.
// EventSource is not used: it cannot send a POST, and it hides why a connection was refused.

export interface ServerEvent {
  event: string;
  data: string;
}

/** Longest event that is kept; a longer one means that something other than our server is speaking. */
export const EVENT_CHARACTERS_MAX = 16 * 1024 * 1024;

/** Turns pieces of text, cut anywhere, into events. */
export class EventParser {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #size = 0;
  #afterReturn = false;

  /** Returns the events that the piece completes. */
  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    let text = this.#rest + piece;
    if (this.#afterReturn && text.startsWith('\n')) text = text.slice(1);
    this.#afterReturn = false;
    let from = 0;
    for (;;) {
      const end = lineEnd(text, from);
      if (end === -1) break;
      const line = text.slice(from, end);
      from = end + 1;
      if (text[end] === '\r') {
        if (from === text.length) this.#afterReturn = true;
        else if (text[from] === '\n') from += 1;
      }
      const done = this.#line(line);
      if (done) events.push(done);
    }
    this.#rest = text.slice(from);
    if (this.#rest.length + this.#size > EVENT_CHARACTERS_MAX) throw new Error('an event is too long');
    return events;
  }

  #line(line: string): ServerEvent | null {
    if (line === '') return this.#finish();
    if (line.startsWith(':')) return null;
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.#event = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#size += value.length + 1;
    }
    return null;
  }

  #finish(): ServerEvent | null {
    const event = this.#event || 'message';
    const data = this.#data;
    this.#event = '';
    this.#data = [];
    this.#size = 0;
    return data.length > 0 ? { event, data: data.join('\n') } : null;
  }
}

function lineEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 10 || code === 13) return at;
  }
  return -1;
}

/** Yields the events of a response body until it ends. `onBytes` is called for every piece, keep-alives included. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void = () => {},
): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
