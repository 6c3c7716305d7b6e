// The contract with Python: what a meter says of a link, told the same.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Meter, scoreOf } from "../../src/thkmesh/web/core/quality.js";

const file = new URL("../../spec/vectors/quality.json", import.meta.url);
const vectors = JSON.parse(await readFile(file, "utf8"));

/** @param {number[]} figures */
const traffic = ([acknowledged, received, waiting]) => ({ acknowledged, received, waiting });

/** @param {any[]} figures */
const stats = ([rtt, localType, remoteType, protocol, ipVersion, checksSent, checksAnswered]) => ({
  rtt, localType, remoteType, protocol, ipVersion, checksSent, checksAnswered,
});

/** @param {any} quality */
const shown = (quality) => quality && [...Object.values(quality).slice(0, -1),
  quality.path && Object.values(quality.path)];

/**
 * @param {Meter} meter
 * @param {string} call
 * @param {any[]} told
 * @param {number} now
 */
function tell(meter, call, [first, ...rest], now) {
  switch (call) {
    case "start":
      return meter.start(now, traffic([first, ...rest]));
    case "pinged":
      return meter.pinged(first, traffic(rest), now);
    case "answered":
      return meter.answered(first, now);
    case "reported":
      return meter.reported(stats([first, ...rest]), now);
    case "slept":
      return meter.slept();
    default:
      return meter.stop();
  }
}

test("delays score as in Python", () => {
  for (const [delay, score] of vectors.scores) assert.equal(scoreOf(delay), score, `${delay} s`);
});

for (const [index, steps] of vectors.lives.entries()) {
  test(`meter ${index} of spec/vectors/quality.json measures as in Python`, () => {
    const meter = new Meter();
    for (const [now, call, told, asks, quality, news] of steps) {
      const asked = tell(meter, call, told, now) ?? false;
      const where = `${call} at ${now}`;
      assert.equal(asked, asks, where);
      assert.deepEqual(shown(meter.quality), quality, where);
      if (call !== "start") assert.deepEqual(shown(meter.news()), news, where);
    }
  });
}
