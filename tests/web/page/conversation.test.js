// Addresses in messages: what becomes a link, and what stays text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { partsOf } from "../../../src/thkmesh/web/page/conversation.js";

const links = (/** @type {string} */ text) =>
  partsOf(text).filter(({ link }) => link).map((part) => part.text);

test("addresses by http and https are links, without what only follows them", () => {
  const cases = {
    "see https://example.org/a?b=c#d.": ["https://example.org/a?b=c#d"],
    "http://localhost:8765/#lobby, https://a.example!": [
      "http://localhost:8765/#lobby", "https://a.example",
    ],
    "(https://example.org/x)": ["https://example.org/x"],
    "https://example.org/a_(b)": ["https://example.org/a_(b)"],
    "(as in https://example.org/a_(b)).": ["https://example.org/a_(b)"],
    "HTTPS://EXAMPLE.ORG/": ["HTTPS://EXAMPLE.ORG/"],
    "\u05e9\u05dc\u05d5\u05dd https://example.org/\u05e9": ["https://example.org/\u05e9"],
    '<a href="https://example.org/">x</a>': ["https://example.org/"],
    "https://one.example https://two.example": ["https://one.example", "https://two.example"],
  };
  for (const [text, expected] of Object.entries(cases)) assert.deepEqual(links(text), expected, text);
});

test("nothing else is", () => {
  for (const text of [
    "", "example.org", "//example.org", "javascript:alert(1)", "javascript://https/%0aalert(1)",
    "data:text/html,x", "xhttps://example.org", "http://", "https://", "https:// a", "ftp://a.b",
    "http:a.example", "http://[", "vbscript:http", "file:/a/b.txt",
  ]) {
    assert.deepEqual(links(text), [], text);
  }
});

test("the parts give the text again, whatever it is, and every link leads to http", () => {
  const pieces = [
    "https://", "http://", "a.example", "/", "?", "#", "(", ")", ".", " ", "\n", '"', "<", "@", ":",
    "javascript:", "\u202e", "\ud83d", "\u{1f600}", "[", "]", "%", "\\", "\0",
  ];
  let seed = 20251125;
  const dice = (/** @type {number} */ sides) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * sides);
  };
  let found = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const text = Array.from({ length: dice(12) }, () => pieces[dice(pieces.length)]).join("");
    const parts = partsOf(text);
    assert.equal(parts.map((part) => part.text).join(""), text);
    for (const part of parts) {
      assert.notEqual(part.text, "");
      if (part.link) {
        found += 1;
        assert.match(new URL(part.text).protocol, /^https?:$/);
        assert.match(part.text, /^https?:\/\//);
      }
    }
  }
  assert.ok(found > 1000, String(found));
});

test("a long text is read in a time that grows with its length only", () => {
  const time = (/** @type {string} */ text) => {
    const start = performance.now();
    partsOf(text);
    return performance.now() - start;
  };
  const many = (/** @type {string} */ piece) => piece.repeat(60_000 / piece.length);
  for (const text of [
    many("https://"), many("https://a.example/("), many("https://a.example "), many("http"),
    `https://a.example/${many(")")}x`, `https://a.example/${many(".")}x`,
  ]) {
    assert.ok(time(text) < 500, `${text.slice(0, 40)} takes ${time(text)} ms`);
  }
});
