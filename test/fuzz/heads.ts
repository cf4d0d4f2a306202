import fc from "fast-check"
import { expect } from "vitest"
import { hasCode } from "../../src/errors.ts"
import { checkMedia } from "../../src/gateway/incoming.ts"
import { acceptsOneOf, essenceOf, type MediaType, parseMediaType } from "../../src/intake/media-type.ts"
import type { FuzzProperty } from "./property.ts"

const token = "[\\w!#$%&'*+.^`|~-]+"
const quoted = '"(?:[\\t !#-\\[\\]-~\\x80-\\uffff]|\\\\[\\t -~\\x80-\\uffff])*"'
const whole = new RegExp(`^(${token}/${token})((?:[\\t ]*;[\\t ]*(?:${token}=(?:${token}|${quoted}))?)*)[\\t ]*$`)
const each = new RegExp(`(${token})=(?:(${token})|(${quoted}))`, "g")

/** The grammar of RFC 9110 as an expression, which is slow on long texts: a blank between `;` can be read in two ways. */
const modelOf = (header: string): MediaType | undefined => {
  const [, essence, rest = ""] = whole.exec(header) ?? []
  if (essence === undefined) return undefined
  const parameters = [...rest.matchAll(each)].map(([, name = "", plain, text = ""]) => ({
    name: name.toLowerCase(),
    value: plain ?? text.slice(1, -1).replaceAll(/\\(.)/gsu, "$1"),
  }))
  return { essence: essence.toLowerCase(), parameters }
}

/** The types that were JSON in UTF-8 before there was a parser: all of them must stay so, and no others. */
const plainJson = /^application\/json((?:[\t ]*;[\t ]*(?:[\w-]+=(?:[\w.+-]+|"[\w.+ /:-]*"))?)*)[\t ]*$/i
const plainParameter = /([\w-]+)=(?:"([^"]*)"|([\w.+-]+))/g
const wasJson = (header: string): boolean => {
  const parameters = plainJson.exec(header)?.[1]
  if (parameters === undefined) return false
  return [...parameters.matchAll(plainParameter)]
    .filter(([, name]) => name?.toLowerCase() === "charset")
    .every(([, , text, plain]) => /^utf-?8$/i.test(text ?? plain ?? ""))
}

const isJson = (header: string): boolean => {
  try {
    checkMedia({ "content-type": header })
    return true
  } catch (error) {
    if (hasCode(error, "UnsupportedMediaType")) return false
    throw error
  }
}

const piece = fc.oneof(
  fc.constantFrom(";", ";", "=", ",", '"', '"', "\\", "/", " ", "\t", "\n", "\0", "é", "(", "*"),
  fc.constantFrom(
    "charset",
    "CharSet=",
    "utf-8",
    "UTF8",
    "utf-7",
    "charset=utf-8",
    'charset="utf-8"',
    "a=b",
    'a="b;c"',
  ),
  fc.constantFrom("text/html", "application/json", "text/*", "*/*", "q=0"),
  fc.string({ maxLength: 3 }),
)
const pieces = fc.array(piece, { maxLength: 9 })
const typed = fc.tuple(fc.constantFrom("application/json", "Application/JSON", "text/event-stream"), pieces)
const header = fc.oneof(
  typed.map(([type, rest]) => type + rest.join("")),
  pieces.map((all) => all.join("")),
)

const elements = fc.array(
  fc.tuple(fc.constantFrom("", " "), fc.constantFrom("text/html", "TEXT/*", "*/*", "application/json", "x"), pieces),
  { maxLength: 4 },
)

export const headProperties: readonly FuzzProperty[] = [
  {
    name: "a media type is what the grammar says it is, and its essence is told without the rest",
    property: fc.property(header, (text) => {
      const model = modelOf(text)
      expect(parseMediaType(text)).toEqual(model)
      if (model !== undefined) expect(essenceOf(text)).toBe(model.essence)
    }),
  },
  {
    name: "a Content-Type is JSON in UTF-8 exactly if its names and values are such that every parser reads them alike",
    property: fc.property(header, (text) => {
      expect(isJson(text)).toBe(wasJson(text))
    }),
  },
  {
    name: "an Accept header of well-formed elements names what one of them names",
    property: fc.property(elements, (all) => {
      const texts = all.map(
        ([blank, range, rest]) => `${blank}${range}${modelOf(`a/b${rest.join("")}`) ? rest.join("") : ""}`,
      )
      const expected = texts.some((text) => /^ ?(?:text\/html|text\/\*|\*\/\*)(?=[;\s]|$)/i.test(text))
      // more of a token behind the range is another range
      fc.pre(texts.every((text) => /^ ?(?:x|[\w*]+\/[\w*]+)(?=[;\s]|$)/.test(text)))
      expect(acceptsOneOf(texts.join(","), ["text/html"])).toBe(expected)
    }),
  },
]
