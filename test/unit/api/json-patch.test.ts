import { expect, test } from "vitest"
import { toJsonPatch } from "../../../src/api/patch.ts"

const before = { a: 1, list: [1, 2], inner: { x: 1, y: 2 }, "odd/na~me": 1 }

test.each<[string, Record<string, unknown>, unknown[]]>([
  ["a new field is added", { b: 2 }, [{ op: "add", path: "/b", value: 2 }]],
  ["a field that is there is replaced by adding it", { a: 2 }, [{ op: "add", path: "/a", value: 2 }]],
  ["a list is replaced whole", { list: [3] }, [{ op: "add", path: "/list", value: [3] }]],
  ["null removes what is there", { a: null }, [{ op: "remove", path: "/a" }]],
  ["null removes nothing where nothing is", { c: null, inner: { z: null } }, []],
  [
    "an object is changed field by field",
    { inner: { x: null, z: 3 } },
    [
      { op: "remove", path: "/inner/x" },
      { op: "add", path: "/inner/z", value: 3 },
    ],
  ],
  [
    "an object where none is comes without its nulls",
    { a: { p: 1, q: null, r: { s: null } } },
    [{ op: "add", path: "/a", value: { p: 1, r: {} } }],
  ],
  ["a name is written as a pointer's part", { "odd/na~me": null }, [{ op: "remove", path: "/odd~1na~0me" }]],
  [
    "what every object inherits is no field",
    { toString: null, constructor: { a: 1 } },
    [{ op: "add", path: "/constructor", value: { a: 1 } }],
  ],
])("%s", (_, patch, expected) => {
  expect(toJsonPatch(before, patch)).toEqual(expected)
})
