import { TargetInput } from "../../../src/admin/resources.ts"
import { parseBody, unknownFields } from "../../../src/admin/validation.ts"
import { createMasker, mask, pushInTurns } from "../../../src/credentials/mask.ts"
import { makeNeedles } from "../../../src/credentials/needles.ts"
import { findJsonFault } from "../../../src/intake/json-text.ts"
import type { Door, Family } from "../family.ts"

const by = { owner: "alice", signal: new AbortController().signal }
const kibibyte = 2 ** 10
const mebibyte = 2 ** 20

/** Values and a log that both grow; they are prepared and masked as the REST API does it. */
const masking = (
  name: string,
  value: (size: number) => string,
  log: (size: number) => string,
  largest: number,
): Family => ({
  name,
  largest,
  make: (size) => {
    const [values, text] = [[value(size)], log(size)]
    return async () => mask(text, await makeNeedles(values), by)
  },
})

const lines = (size: number): string =>
  Array.from({ length: Math.ceil(size / 10) }, (_, at) => `a${String(at).padStart(8, "0")}`).join("\n")
/** Lines of every length that is looked for by itself. */
const linesOfAllLengths = (size: number): string =>
  Array.from({ length: Math.ceil(size / 20) }, (_, at) => `a${String(at).padStart(7 + (at % 24), "0")}`).join("\n")
const half = 512 * kibibyte

const json = (name: string, text: (size: number) => string): Family => ({
  name,
  largest: mebibyte,
  make: (size) => {
    const body = text(size)
    return () => {
      if (findJsonFault(body, { maxDepth: 64, strict: true }) === undefined) JSON.parse(body)
    }
  },
})

/** An object of fields that no target has, though each is much like one, at the most members that a body has. */
const fields = (name: string, check: (body: unknown) => unknown): Family => ({
  name,
  largest: 50_000,
  make: (size) => {
    const body = Object.fromEntries(
      Array.from({ length: size }, (_, at) => [`isolatn${at.toString(36).padStart(8, "x")}`, 1]),
    )
    return () => check(body)
  },
})

export const doors: readonly Door[] = [
  {
    name: "values that are masked, and the log that they are masked in",
    limit: "512 KiB of values, 4 MiB of log",
    families: [
      masking("short lines of one first letter", lines, lines, half),
      masking(
        "a value of one letter again and again, in a log of the same",
        (size) => "a".repeat(size),
        (size) => "a".repeat(8 * size),
        half,
      ),
      masking(
        "a log that nearly has the value",
        (size) => `${"a".repeat(size)}b`,
        (size) => "a".repeat(8 * size),
        half,
      ),
      masking(
        "quotes and line ends",
        (size) => '"\n'.repeat(size / 2),
        (size) => '\\"\n'.repeat(size),
        half,
      ),
      masking("lines of every length", linesOfAllLengths, (size) => linesOfAllLengths(8 * size), half / 1.25),
      masking("escapes of JSON", linesOfAllLengths, (size) => '\\"a0'.repeat(2 * size), half / 1.25),
      masking(
        "escapes in escapes of JSON",
        linesOfAllLengths,
        (size) => "\\\\n\\\\u0061".repeat(size / 1.25),
        half / 1.25,
      ),
      masking("escapes of JSON that are none", linesOfAllLengths, (size) => "\\u000".repeat(1.6 * size), half / 1.25),
      masking("percent encoding", linesOfAllLengths, (size) => "%61+".repeat(2 * size), half / 1.25),
      masking(
        "percent encoding that is none",
        linesOfAllLengths,
        (size) => "%f0%90%80".repeat(size / 1.25),
        half / 1.25,
      ),
      masking(
        "an escape now and then",
        linesOfAllLengths,
        (size) => `${"a0".repeat(15)}\\n%41`.repeat(size / 4.5),
        half / 1.25,
      ),
      masking(
        "base64",
        (size) => "0123456789".repeat(size / 10),
        (size) => "MDEyMzQ1".repeat(size),
        half,
      ),
      {
        name: "values that begin each other",
        largest: 112 * kibibyte,
        make: (size) => {
          const [values, text] = [
            Array.from({ length: 50 }, (_, at) => "ab".repeat(size / 2 / (at + 1))),
            "ab".repeat(size),
          ]
          return async () => mask(text, await makeNeedles(values), by)
        },
      },
      {
        name: "a log in one-character pieces",
        largest: mebibyte,
        make: (size) => async () => {
          const masker = createMasker(await makeNeedles(["a".repeat(100)]))
          for (let at = 0; at < size; at++) {
            masker.push("a")
            if (at % 10_000 === 0) await new Promise(setImmediate)
          }
        },
      },
      {
        name: "a log of one line without an end",
        largest: 4 * mebibyte,
        make: (size) => async () => {
          const masker = createMasker(await makeNeedles(["secret".repeat(10)]))
          for await (const _ of pushInTurns(masker, "s".repeat(size), by));
        },
      },
    ],
  },
  {
    name: "body of the REST API",
    limit: "1 MiB, 50,000 members and elements, 64 levels",
    families: [
      json("a key again and again", (size) => `{${'"a":1,'.repeat(size / 6)}"z":1}`),
      json(
        "different keys",
        (size) => `{${Array.from({ length: size / 30 }, (_, at) => `"k${String(at).padStart(8, "0")}":1`).join()}}`,
      ),
      json("open arrays", (size) => "[".repeat(size)),
      json("a string of escapes", (size) => `["${"\\u0041".repeat(size / 6)}"]`),
      json("a string of backslashes", (size) => `["${"\\\\".repeat(size / 2)}"]`),
      json("a number of many digits", (size) => `[${"1".repeat(size)}]`),
      json("a key of combining marks", (size) => `{"a${"\u0301\u0323".repeat(size / 2)}":1}`),
      json("blanks", (size) => `${" ".repeat(size)}[]`),
      fields("fields that no target has", (body) => parseBody(TargetInput, body)),
      fields("fields that no target has, in a patch", (body) => unknownFields(TargetInput, body)),
    ],
  },
]
