import { fromServerJson } from "../../../src/api/server-json/convert.ts"
import type { Door, Family } from "../family.ts"

/** Just under the largest body, so that what stands around fits. */
const largest = 2 ** 20 - 4_096
/** Most packages, and most entries of a list. */
const packages = 20
const entries = 100
/** Longest text of the document, in characters. */
const longestText = 4_096

const many = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at))
const npm = { registryType: "npm", identifier: "@example/a", version: "1.0.0" }

const converting =
  (document: unknown, given: Readonly<Record<string, unknown>> = {}) =>
  () =>
    fromServerJson(document, { today: "2026-11-01", arguments: given })

/** A document whose texts take `size` characters together; they are given as pieces of 4,096. */
const texts = (name: string, make: (pieces: readonly string[]) => unknown, unit: string): Family => ({
  name,
  largest,
  make: (size) => {
    const piece = unit.repeat(Math.floor(longestText / unit.length))
    return converting(make(many(Math.floor(size / longestText), () => piece)))
  },
})

const listed = (pieces: readonly string[], entry: (text: string, index: number) => object): unknown => ({
  name: "io.example/a",
  packages: many(Math.ceil(pieces.length / entries), (at) => ({
    ...npm,
    packageArguments: pieces.slice(at * entries, (at + 1) * entries).map(entry),
  })),
})
const positional = (value: string) => ({ type: "positional", value })

export const doors: readonly Door[] = [
  {
    name: "server.json that a target is made of",
    limit: "1 MiB, 20 packages, 100 entries of each list, texts of 4,096 characters, 64 levels",
    families: [
      texts("values of open braces", (pieces) => listed(pieces, positional), "{"),
      texts("values of names that nobody has", (pieces) => listed(pieces, positional), `{${"a".repeat(62)}}`),
      texts("values of short names that nobody has", (pieces) => listed(pieces, positional), "{a}"),
      texts(
        "values of a name that stands for long text",
        (pieces) =>
          listed(pieces, (text, at) =>
            at % 2 === 0 ? { ...positional(text), variables: { a: { value: pieces[0] } } } : positional("x"),
          ),
        "{a}",
      ),
      texts(
        "secrets in templates",
        (pieces) => listed(pieces, (text) => ({ ...positional(text), isSecret: true })),
        "{a}",
      ),
      texts("values of dollars", (pieces) => listed(pieces, positional), "$("),
      texts(
        "descriptions of blanks and control characters",
        (pieces) =>
          listed(pieces, (text, at) => ({ type: "named", name: `--a${at}`, isRequired: true, description: text })),
        " \u202e",
      ),
      texts(
        "choices that are nearly the default",
        (pieces) =>
          listed(pieces.slice(0, entries), (text, at) => ({
            type: "named",
            name: `--a${at}`,
            default: text,
            choices: at === 0 ? pieces.slice(0, entries).map((each) => each.replace(/.$/, "b")) : [],
          })),
        "a",
      ),
      texts(
        "names of URLs",
        (pieces) => ({
          name: "io.example/a",
          remotes: pieces.slice(0, packages).map((text) => ({ type: "streamable-http", url: text.slice(0, 2_048) })),
          rest: pieces,
        }),
        "{a}",
      ),
      texts(
        "identifiers of slashes",
        (pieces) => ({
          name: "io.example/a",
          packages: pieces
            .slice(0, packages)
            .map((text) => ({ registryType: "oci", identifier: text.slice(0, 2_048) })),
          rest: pieces,
        }),
        "a/",
      ),
      {
        name: "variables of all inputs, and names that are none of them",
        // as many members as a body may have
        largest: 45_000,
        make: (size) => {
          const variables = Object.fromEntries(many(entries, (at) => [`${"v".repeat(8)}${at}`, { isRequired: true }]))
          const value = Object.keys(variables)
            .map((each) => `{${each}}`)
            .join("")
          const inputs = Math.ceil(size / entries)
          const list = many(Math.min(entries, inputs), () => ({ ...positional(value), variables }))
          const rest = { ...npm, packageArguments: list }
          const given = Object.fromEntries(many(entries, (at) => [`${"v".repeat(90)}x${at}`, "1"]))
          return converting({ name: "io.example/a", packages: many(Math.ceil(inputs / entries), () => rest) }, given)
        },
      },
      {
        name: "members that are not read",
        largest: 50_000,
        make: (size) =>
          converting({
            name: "io.example/a",
            packages: [npm],
            _meta: Object.fromEntries(many(size, (at) => [`k${at}`, 1])),
          }),
      },
      {
        name: "nesting up to the limit around much text",
        largest,
        make: (size) => {
          let inner: unknown = "x".repeat(size)
          for (let level = 0; level < 60; level++) inner = { a: inner }
          return converting({ name: "io.example/a", packages: [npm], _meta: inner })
        },
      },
      {
        name: "nesting beyond the limit",
        largest: 50_000,
        make: (size) => {
          let inner: unknown = 1
          for (let level = 0; level < size; level++) inner = [inner]
          return converting({ name: "io.example/a", packages: [npm], _meta: inner })
        },
      },
    ],
  },
]
