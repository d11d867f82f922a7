// Addresses of the page: everything after the `#`.

export type Route =
  | { view: 'desk'; collection: string | null }
  | { view: 'answer'; audit: number }
  | {
      view: 'document';
      document: string;
      page: number;
      start: number | null;
      end: number | null;
      /** The current one where none is named. */
      version: number | null;
    }
  | { view: 'audit' }
  | { view: 'people' }
  | { view: 'status' }
  | { view: 'account' }
  | { view: 'missing'; path: string };

const ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Reads the part of the address after `#`. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const parts = path.split('/').filter((part) => part !== '');
  const missing: Route = { view: 'missing', path };
  const [first, second] = parts;
  if (first === undefined) return { view: 'desk', collection: null };
  if (parts.length > 2) return missing;
  if (second === undefined) {
    return first === 'audit' || first === 'people' || first === 'status' || first === 'account'
      ? { view: first }
      : missing;
  }
  if (first === 'collections' && ID.test(second)) return { view: 'desk', collection: second };
  if (first === 'answers') {
    const audit = wholeNumber(second);
    return audit === null ? missing : { view: 'answer', audit };
  }
  if (first === 'documents' && ID.test(second)) {
    const values = new URLSearchParams(query);
    const page = wholeNumber(values.get('page')) ?? 1;
    const start = wholeNumber(values.get('start'));
    const end = wholeNumber(values.get('end'));
    const version = wholeNumber(values.get('version'));
    return { view: 'document', document: second, page: Math.max(1, page), start, end, version };
  }
  return missing;
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Writes a route as an address that `parseRoute` reads back. */
export function formatRoute(route: Exclude<Route, { view: 'missing' }>): string {
  switch (route.view) {
    case 'desk':
      return route.collection === null ? '#/' : `#/collections/${route.collection}`;
    case 'answer':
      return `#/answers/${route.audit}`;
    case 'document': {
      const values = new URLSearchParams({ page: String(route.page) });
      if (route.start !== null) values.set('start', String(route.start));
      if (route.end !== null) values.set('end', String(route.end));
      if (route.version !== null) values.set('version', String(route.version));
      return `#/documents/${route.document}?${values}`;
    }
    default:
      return `#/${route.view}`;
  }
}
