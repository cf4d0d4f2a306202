import fc from "fast-check"
import { expect } from "vitest"
import { hasCode } from "../../src/errors.ts"
import { versionKey } from "../../src/mcp/json-scan.ts"
import { type Message, readMessages } from "../../src/mcp/message.ts"
import { checkHeaders } from "../../src/mcp/mirrored-headers.ts"
import { createToolPolicies } from "../../src/mcp/tool-policy.ts"
import { aTarget } from "../support/build/target.ts"
import { filler, memberLike, nearly, objectOf, spelled } from "./hostile.ts"
import { models, plainOf, readingsOfText, type Tree, treeOf } from "./lenient.ts"
import type { FuzzProperty } from "./property.ts"

const text = (value: string) => fc.constant(JSON.stringify(value))
const member = (key: string, value: fc.Arbitrary<string>) => fc.tuple(fc.constant(`"${key}"`), value)

const versions = fc.oneof(text("2026-07-28"), text("2025-11-25"), filler)
const meta = objectOf([member(versionKey, versions)], memberLike([versionKey, "x"], versions))
const names = fc.oneof(text("shown"), text("hidden"), spelled("hidden"))
const paramKeys = ["name", "uri", "taskId", "_meta", "arguments", "__proto__"]
const params = fc.oneof(
  { weight: 3, arbitrary: objectOf([member("name", names)], memberLike(paramKeys, fc.oneof(names, meta, filler))) },
  objectOf([member("name", names), member("_meta", meta)], memberLike(paramKeys, filler)),
  filler,
)
const methods = fc.oneof(text("tools/call"), text("ping"), spelled("tools/call"))
const ids = fc.constantFrom("1", "1.0", '"a"', "12345678901234567890", "null", '"\\u0061"')
const messageKeys = ["jsonrpc", "id", "method", "params", "result", "error", "__proto__"]
const anyMember = memberLike(messageKeys, fc.oneof(methods, params, ids, filler))
const messages = fc.oneof(
  {
    weight: 4,
    arbitrary: objectOf(
      [member("jsonrpc", text("2.0")), member("id", ids), member("method", methods), member("params", params)],
      anyMember,
    ),
  },
  objectOf([member("jsonrpc", text("2.0")), member("id", ids), member("result", filler)], anyMember),
)
const bodies = fc.oneof(
  { weight: 5, arbitrary: messages },
  fc.array(messages, { minLength: 1, maxLength: 3 }).map((each) => `[${each.join(",")}]`),
  messages.map((each) => `\ufeff${each}`),
)

/** What a parser of one kind takes a message for. */
const viewOf = (tree: Tree, find: (typeof models)[number]["find"]) => {
  const inner = find(tree, "params")
  return {
    method: plainOf(find(tree, "method")),
    id: plainOf(find(tree, "id")),
    name: plainOf(find(inner, "name")),
    version: plainOf(find(find(inner, "_meta"), versionKey)),
  }
}

const expectAgreement = (tree: Tree, message: Message): void => {
  for (const { name, find } of models) {
    const view = viewOf(tree, find)
    if (message.kind === "response") expect(view.method, name).toBeUndefined()
    else {
      expect(view.method, name).toBe(message.method)
      expect(view.version, name).toBe(message.version)
      if (typeof message.params.name === "string") expect(view.name, name).toBe(message.params.name)
    }
    expect(view.id, name).toEqual(viewOf(tree, models[1]?.find ?? find).id)
  }
}

const policy = createToolPolicies()(aTarget({ spec: { tools: { deny: ["hidden"] } } }))

export const bodyProperties: readonly FuzzProperty[] = [
  {
    name: "a body that is let pass is the same message to every parser",
    property: fc.property(nearly(bodies), (bytes) => {
      const reading = readMessages(bytes)
      if (reading.error !== undefined) return
      expect(Buffer.from(bytes.toString())).toEqual(bytes)
      const parsed: unknown = JSON.parse(bytes.toString())
      expect(Array.isArray(parsed)).toBe(reading.batch)
      const tree = treeOf(bytes.toString())
      const trees = tree.kind === "array" ? tree.elements : [tree]
      expect(trees).toHaveLength(reading.messages.length)
      reading.messages.forEach((message, index) => {
        expectAgreement(trees[index] ?? tree, message)
      })
      if (reading.idText !== undefined) expect(JSON.parse(reading.idText)).toBe((parsed as { id: unknown }).id)
    }),
  },
  {
    name: "a tool's name that is let pass is denied in no way of reading it",
    property: fc.property(spelled("hidden"), (source) => {
      const name: string = JSON.parse(source)
      if (policy?.allows(name)) expect(readingsOfText(name)).not.toContain("hidden")
    }),
  },
  {
    name: "a refused body has a code of its own and echoes only an id that is one",
    property: fc.property(fc.oneof(fc.uint8Array(), nearly(bodies)), (bytes) => {
      const { error, idText, messages: all } = readMessages(Buffer.from(bytes))
      expect(error === undefined).toBe(all.length > 0)
      if (error === undefined) return
      expect(hasCode(error, "MalformedJson", "InvalidRequest", "InvalidParams")).toBe(true)
      if (idText !== undefined) expect(["string", "number"]).toContain(typeof JSON.parse(idText))
    }),
  },
  {
    name: "headers that are let pass say what the body says, also to those who decode them leniently",
    property: fc.property(
      fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constant("shown")),
      fc.constantFrom("plain", "=?base64?", "=?BASE64?", "=?base64? "),
      fc.string({ unit: fc.constantFrom("", "=", " ", "A", "?"), maxLength: 2 }),
      (name, form, noise) => {
        const encoded = Buffer.from(name).toString("base64")
        const header = form === "plain" ? name : `${form}${encoded}${noise}?=`
        const message: Message = { kind: "request", method: "tools/call", params: { name }, version: "2026-07-28" }
        const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": header }
        try {
          checkHeaders(headers, [message])
        } catch (error) {
          expect(hasCode(error, "HeaderMismatch")).toBe(true)
          return
        }
        const inner = /^=\?base64\?(.*)\?=$/i.exec(header)?.[1]
        expect(inner === undefined ? header : Buffer.from(inner, "base64").toString()).toBe(name)
      },
    ),
  },
]
