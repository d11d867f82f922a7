// pdf.js behind a small face: open, size of a page, draw a page. Loaded only when a PDF is opened.

import {
  getDocument,
  type PDFDocumentLoadingTask,
  type PDFDocumentProxy,
  type PDFPageProxy,
  PDFWorker,
  TextLayer,
} from 'pdfjs-dist';
import workerAddress from 'pdfjs-dist/build/pdf.worker.min.mjs?url';
import type { Size } from '../lib/geometry.ts';

/** Most pixels of one page's canvas; a larger page is drawn coarser, never not at all. */
const CANVAS_PIXELS_MAX = 24_000_000;
const RANGE_BYTES = 262_144;

interface PolicyFactory {
  createPolicy(
    name: string,
    rules: { createScriptURL: (text: string) => string },
  ): {
    createScriptURL(text: string): string;
  };
}

let worker: PDFWorker | null = null;

/** One worker for all documents, made from our own file and, where the browser asks for it, through a policy. */
function sharedWorker(): PDFWorker {
  if (worker && !worker.destroyed) return worker;
  const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
  const policy = factory?.createPolicy('cloister-worker', {
    createScriptURL: (text) => {
      if (text !== workerAddress) throw new TypeError('not the address of the worker');
      return text;
    },
  });
  const address = policy ? policy.createScriptURL(workerAddress) : workerAddress;
  worker = PDFWorker.create({ port: new Worker(address, { type: 'module' }) });
  return worker;
}

export interface Drawing {
  done: Promise<void>;
  cancel(): void;
}

export class PdfSource {
  readonly pageCount: number;
  readonly #task: PDFDocumentLoadingTask;
  readonly #document: PDFDocumentProxy;

  private constructor(task: PDFDocumentLoadingTask, document: PDFDocumentProxy) {
    this.#task = task;
    this.#document = document;
    this.pageCount = document.numPages;
  }

  /** `folder` holds character maps, fonts and decoders, as the build lays them out. */
  static async open(url: string, folder = new URL('/pdf/', location.href).href): Promise<PdfSource> {
    const task = getDocument({
      url,
      worker: sharedWorker(),
      // The page's policy admits no WebAssembly; the decoders in JavaScript do the same, slower.
      useWasm: false,
      wasmUrl: `${folder}decoders/`,
      cMapUrl: `${folder}cmaps/`,
      cMapPacked: true,
      standardFontDataUrl: `${folder}fonts/`,
      enableXfa: false,
      disableAutoFetch: true,
      rangeChunkSize: RANGE_BYTES,
      verbosity: 0,
    });
    return new PdfSource(task, await task.promise);
  }

  async size(page: number): Promise<Size> {
    return sizeOf(await this.#document.getPage(page));
  }

  /** Draws a page and lays its text over it. `scale` is CSS pixels per point; `onSize` gets the page's own size. */
  draw(
    page: number,
    scale: number,
    canvas: HTMLCanvasElement,
    text: HTMLElement,
    onSize: (size: Size) => void,
  ): Drawing {
    let cancelled = false;
    const cancels: (() => void)[] = [];
    const run = async (): Promise<void> => {
      const proxy = await this.#document.getPage(page);
      if (cancelled) return;
      onSize(sizeOf(proxy));
      await drawPage(proxy, scale, canvas, cancels);
      if (cancelled) return;
      await layText(proxy, scale, text, cancels);
    };
    return {
      done: run().catch((error: unknown) => {
        if (!cancelled) throw error;
      }),
      cancel: () => {
        cancelled = true;
        for (const cancel of cancels) cancel();
      },
    };
  }

  async close(): Promise<void> {
    await this.#task.destroy();
  }
}

function sizeOf(proxy: PDFPageProxy): Size {
  const { width, height } = proxy.getViewport({ scale: 1 });
  return { width, height };
}

async function drawPage(
  proxy: PDFPageProxy,
  scale: number,
  canvas: HTMLCanvasElement,
  cancels: (() => void)[],
): Promise<void> {
  const viewport = proxy.getViewport({ scale });
  const wished = globalThis.devicePixelRatio || 1;
  const density = Math.min(wished, Math.sqrt(CANVAS_PIXELS_MAX / (viewport.width * viewport.height)));
  canvas.width = Math.floor(viewport.width * density);
  canvas.height = Math.floor(viewport.height * density);
  const task = proxy.render({ canvas, viewport, transform: [density, 0, 0, density, 0, 0] });
  cancels.push(() => task.cancel());
  await task.promise;
}

async function layText(
  proxy: PDFPageProxy,
  scale: number,
  container: HTMLElement,
  cancels: (() => void)[],
): Promise<void> {
  container.replaceChildren();
  container.style.setProperty('--total-scale-factor', String(scale));
  container.style.setProperty('--scale-round-x', '1px');
  container.style.setProperty('--scale-round-y', '1px');
  const layer = new TextLayer({
    textContentSource: proxy.streamTextContent({ includeMarkedContent: true }),
    container,
    viewport: proxy.getViewport({ scale }),
  });
  cancels.push(() => layer.cancel());
  await layer.render();
}
