// The texts of the page. Another language is another file with the same keys, chosen here.

import { en } from './en.ts';

export type Messages = typeof en;

export const t: Messages = en;
