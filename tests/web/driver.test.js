// What the one loop promises; see tests/test_driver.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Driver } from "../../src/thkmesh/web/driver.js";

test("a machine that throws stops only itself", async () => {
  /** @type {string[]} */
  const seen = [];
  const machine = {
    /** @type {number | null} */
    deadline: null,
    handle(/** @type {{ type: string }} */ { type }) {
      seen.push(type);
      if (type === "bad") throw new RangeError("a bug");
      return type === "go" ? ["one"] : [];
    },
  };
  const driver = new Driver(machine, () => {
    driver.feed({ type: "bad" });
    driver.feed({ type: "after" });
  });
  assert.throws(() => driver.feed({ type: "go" }), RangeError);
  await sleep(20);
  assert.deepEqual(seen, ["go", "bad", "after", "tick"]);
  driver.close();
});
