import assert from 'node:assert/strict';
import test from 'node:test';
import { isMarkdownName, plainHeading, plainRuns, plainText } from '../../src/lib/markdown.ts';

test('marks of headings and bold type are left out, letters are not', () => {
  for (const [text, plain] of [
    ['# Engagement Agreement', 'Engagement Agreement'],
    ['## 3. Termination', '3. Termination'],
    ['### **Fees**', 'Fees'],
    ['#7 of the list', '#7 of the list'],
    ['Costs # and ##', 'Costs # and ##'],
    ['#', '#'],
  ] as const) {
    assert.equal(plainHeading(text), plain);
  }
  assert.equal(plainText('## A\n\n**Brightwater & Sloane LLP** acts.\n# B'), 'A\n\nBrightwater & Sloane LLP acts.\nB');
  for (const text of ['2 ** 3', '**open', 'a ***both*** b', '`**code**`', 'one **\n\ntwo **']) {
    assert.equal(plainText(text), text);
  }
});

test('what is quoted stays quoted without the marks', () => {
  const runs = [
    { text: '## **3.** ', quoted: false },
    { text: 'Ter**mi**', quoted: true },
    { text: 'nation', quoted: false },
  ];
  assert.deepEqual(plainRuns(runs, true), [
    { text: '3. ', quoted: false },
    { text: 'Termi', quoted: true },
    { text: 'nation', quoted: false },
  ]);
  const cut = [
    { text: 'the *', quoted: false },
    { text: '*term** ends', quoted: true },
  ];
  assert.deepEqual(plainRuns(cut, false), cut);
});

test('Markdown is known by its name', () => {
  assert.ok(isMarkdownName('a/b.MD') && isMarkdownName('x.markdown'));
  assert.ok(!isMarkdownName('md.txt') && !isMarkdownName('x.md.pdf'));
});
