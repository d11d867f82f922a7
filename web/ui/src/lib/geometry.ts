// Where the boxes of a quote lie on a page that is shown at some size.

import type { Box } from './wire.ts';

/** In CSS pixels from the shown page's top left corner. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Space left around the words of a box, in points, so that the highlight does not cut letters. */
const MARGIN = 1;

/** The boxes that lie on `page`, scaled from points to the shown size and kept within the page. */
export function placeBoxes(boxes: readonly Box[], page: number, points: Size, shown: Size): Rectangle[] {
  if (!(points.width > 0) || !(points.height > 0)) return [];
  const across = shown.width / points.width;
  const down = shown.height / points.height;
  const placed: Rectangle[] = [];
  for (const [at, x0, y0, x1, y1] of boxes) {
    if (at !== page || ![x0, y0, x1, y1].every(Number.isFinite)) continue;
    const left = clamp(Math.min(x0, x1) - MARGIN, points.width) * across;
    const right = clamp(Math.max(x0, x1) + MARGIN, points.width) * across;
    const top = clamp(Math.min(y0, y1) - MARGIN, points.height) * down;
    const bottom = clamp(Math.max(y0, y1) + MARGIN, points.height) * down;
    if (right > left && bottom > top) placed.push({ left, top, width: right - left, height: bottom - top });
  }
  return placed;
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most);
}

/** Where to scroll so that a highlight stands in the upper third of a window of `height`. */
export function scrollTarget(top: number, bottom: number, height: number): number {
  const tall = bottom - top > height * 0.6;
  return Math.max(0, tall ? top - 24 : top - height / 3);
}

/** The scale at which a page of `pageWidth` points fills `room` pixels, within readable bounds. */
export function fitScale(pageWidth: number, room: number): number {
  if (!(pageWidth > 0)) return 1;
  return Math.min(Math.max(room / pageWidth, 0.25), 4);
}
