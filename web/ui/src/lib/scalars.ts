// The server counts Unicode scalar values, JavaScript counts UTF-16 units.

/** The UTF-16 index of the `count`-th scalar value, counted from index `from`. Lone surrogates count as one. */
export function unitIndex(text: string, count: number, from = 0): number {
  let at = from;
  for (let left = count; left > 0 && at < text.length; left -= 1) {
    const code = text.codePointAt(at) ?? 0;
    at += code > 0xffff ? 2 : 1;
  }
  return at;
}

/** The number of scalar values of a text. */
export function scalarLength(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
