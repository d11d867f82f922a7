// One upload. XMLHttpRequest is used because fetch does not tell how many bytes have been sent.

import { address, csrfHeader, Problem, problemOf } from './api.ts';
import type { Sending, Transfer } from './queue.ts';
import type { UploadItem } from './wire.ts';

export function sendFile(transfer: Readonly<Transfer<File>>, onProgress: (bytes: number) => void): Sending {
  const request = new XMLHttpRequest();
  const done = new Promise<UploadItem>((resolve, reject) => {
    const form = new FormData();
    // The order matters: the server reads the parts as they come.
    if (transfer.keepDuplicate) form.append('keep_duplicates', 'true');
    form.append('name', transfer.name);
    form.append('file', transfer.file, transfer.name.split('/').at(-1) ?? transfer.name);
    request.open('POST', address(`/collections/${encodeURIComponent(transfer.collection)}/documents`));
    for (const [name, value] of Object.entries(csrfHeader())) request.setRequestHeader(name, value);
    request.upload.addEventListener('progress', (event) => onProgress(event.loaded));
    request.addEventListener('error', () => reject(new Problem(0, 'unreachable', 'The connection was lost.')));
    request.addEventListener('abort', () => reject(new Problem(0, 'cancelled', 'Cancelled.')));
    request.addEventListener('load', () => {
      try {
        resolve(itemOf(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}

function itemOf(status: number, text: string): UploadItem {
  if (status < 200 || status > 299) throw problemOf(status, text);
  const item = (JSON.parse(text) as { uploads: UploadItem[] }).uploads[0];
  if (!item) throw new Problem(status, 'failed', 'The server did not say what became of the file.');
  return item;
}
