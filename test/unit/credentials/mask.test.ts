import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createMasker, mask, masked, maskRead, pushInTurns } from "../../../src/credentials/mask.ts"
import { makeNeedles } from "../../../src/credentials/needles.ts"
import { loopTurns } from "../../../src/intake/turns.ts"

const secret = 'p@ss"word\\é/+'
const by = { owner: "alice", signal: new AbortController().signal }
const maskAll = async (text: string, values: readonly string[]) => mask(text, await makeNeedles(values), by)

test.each([
  ["as it is", secret],
  ["escaped for JSON", JSON.stringify(secret).slice(1, -1)],
  ["escaped for a URL", encodeURIComponent(secret)],
  ["in base64", Buffer.from(secret).toString("base64")],
  ["in URL-safe base64", Buffer.from(secret).toString("base64url")],
])("a secret %s does not show", async (_how, spelling) => {
  expect(await maskAll(`before ${spelling} after`, [secret])).toBe(`before ${masked} after`)
})

const jsonOfPython = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
const jsonOfGo = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[<>&]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`)
const strictURL = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`)
const base64 = (text: string): string => Buffer.from(text).toString("base64")
const inLines = (text: string, length: number): string =>
  text.replace(new RegExp(`.{${length}}(?=.)`, "g"), (line) => `${line}\n`)
const spellings: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  "JSON of Python": jsonOfPython,
  "JSON of Java": (text) => jsonOfPython(text).replace(/\\u..../g, (found) => `\\u${found.slice(2).toUpperCase()}`),
  "JSON of Go": jsonOfGo,
  "JSON of PHP": (text) => jsonOfPython(text).replaceAll("/", "\\/"),
  "JSON in JSON": (text) => JSON.stringify(JSON.stringify(text).slice(1, -1)).slice(1, -1),
  "JSON of Python in JSON of Go": (text) => jsonOfGo(jsonOfPython(text)),
  URL: encodeURIComponent,
  "URL of Python": (text) => strictURL(text).replaceAll("%2F", "/"),
  "URL of RFC 3986": strictURL,
  "URL in lower case": (text) => strictURL(text).replace(/%../g, (found) => found.toLowerCase()),
  form: (text) => strictURL(text).replaceAll("%20", "+"),
  base64,
  "URL-safe base64": (text) => Buffer.from(text).toString("base64url"),
  "base64 in lines": (text) => inLines(base64(text), 76),
}
const difficult = [
  "pässwörd12 / 100%",
  // the first and the last characters of each length in UTF-8
  "\u0080\u07ff\u0800\uffff\u{10000}\u{10ffff}",
  "a<b>&c12345",
  "key/with/slash99",
  'say"hi"12345\\',
  "P4ss!w0rd(x)*z+'",
  "my pass w0rd",
  "tokn0123456789abcdef",
  "\u{1f511}key\u{1f511}",
  "-----BEGIN-----\nfirst line\tof it +\r\nsecond/line\n-----END-----",
  Array.from({ length: 40 }, (_, at) => `part ${at}/é`).join("+"),
]

test.each(Object.keys(spellings))(
  "no difficult secret shows in the spelling %s, in pieces of any length",
  async (name) => {
    for (const value of difficult) {
      const text = `before ${spellings[name]?.(value)} after`
      expect(await maskAll(text, [value])).toBe(`before ${masked} after`)
      for (const step of [1, 2, 3, 7, 31, 64]) {
        const pieces = Array.from({ length: Math.ceil(text.length / step) }, (_, at) =>
          text.slice(at * step, (at + 1) * step),
        )
        expect(await shownOf(pieces, [value])).toBe(`before ${masked} after`)
      }
    }
  },
)

test.each(["u:", "us:", "use:", "", "a long user name of any length:"])(
  "a secret behind %j does not show in base64, but for what other letters have a part in",
  async (before) => {
    for (const value of ["tokn0123456789abcdef", "pässwörd12 / 100%"]) {
      const shown = await maskAll(`Basic ${base64(`${before}${value}:x`)}`, [value])
      const [left = "", right = ""] = shown.slice("Basic ".length).split(masked)
      expect(Buffer.from(left, "base64").toString("latin1").length).toBeLessThanOrEqual(before.length + 1)
      expect(right.length).toBeLessThanOrEqual(6)
    }
  },
)

test("base64 in lines has all letters of its alphabet", async () => {
  const value = Array.from({ length: 400 }, (_, at) => String.fromCodePoint(0x21 + ((at * 37) % 0x7d0))).join("")
  const text = base64(value)
  expect(new Set(text.replaceAll("=", "")).size).toBe(64)
  const shown = await maskAll(`<${inLines(text, 76)}>`, [value])
  expect(shown.replaceAll(masked, "").replaceAll("\n", "")).toBe("<>")
})

test("escapes that are none are shown as they are", async () => {
  const text = "100% of C:\\new \\u00g \\x41 %zz %C3%41 %FF %c3 a+b \\"
  expect(await maskAll(text, ["other"])).toBe(text)
  expect(await maskAll("%C3secret %secret \\secret \\u00secret +secret", ["secret"])).toBe(
    `%C3${masked} %${masked} \\${masked} \\u00${masked} +${masked}`,
  )
})

test("a key of several lines is masked line by line, also when only some of its lines are shown", async () => {
  const key = "-----BEGIN KEY-----\nMIIabcdefgh\nMIIijklmnop\n-----END KEY-----\n"
  expect(await maskAll("x MIIijklmnop y", [key])).toBe(`x ${masked} y`)
  expect(await maskAll(`x\r\n${key.replaceAll("\n", "\r\n")}y`, [key])).not.toMatch(/MII|KEY/)
})

test("a secret that contains another is masked whole", async () => {
  expect(await maskAll("abcdef", ["abc", "abcdef"])).toBe(masked)
})

test("empty values mask nothing", async () => {
  expect(await maskAll("all is well", ["", "  ", "\n"])).toBe("all is well")
})

test("a value of one character is masked wherever it stands", async () => {
  expect(await maskAll("a1b11", ["1"])).toBe(`a${masked}b${masked}`)
})

test("blanks around a value show, but for those that are encoded with it", async () => {
  expect(await maskAll("[ token ]", [" token\n"])).toBe(`[ ${masked} ]`)
  expect(await maskAll(`[${btoa(" token\n")}] [${btoa("token")}]`, [" token\n"])).toBe(`[${masked}] [${masked}]`)
})

test("secrets that overlap or touch are masked as one", async () => {
  expect(await maskAll("x abcde y", ["abc", "bcde"])).toBe(`x ${masked} y`)
  expect(await maskAll("abcabc", ["abc"])).toBe(masked)
  expect(await maskAll("abc abc", ["abc"])).toBe(`${masked} ${masked}`)
})

test("a part of a long secret does not show either", async () => {
  const long = Array.from({ length: 50 }, (_, index) => `part${index}`).join("/")
  expect(await maskAll(`x ${long} y`, [long])).toBe(`x ${masked} y`)
  const shown = await maskAll(`x ${long.slice(10, 200)} y`, [long])
  expect(shown.length).toBeLessThan(2 * 32 + masked.length)
  expect(await maskAll(`x ${long.slice(0, 31)} y`, [long])).toBe(`x ${long.slice(0, 31)} y`)
})

test("what no URL can hold is masked nevertheless", async () => {
  expect(await maskAll("x \ud800key y", ["\ud800key"])).toBe(`x ${masked} y`)
})

/** What a masker shows of a text in pieces. */
const shownOf = async (pieces: readonly string[], values: readonly string[]): Promise<string> => {
  const masker = createMasker(await makeNeedles(values))
  return pieces.map((piece) => masker.push(piece)).join("") + masker.end()
}

test("a secret does not show wherever the text is cut into pieces, and nothing else is changed", async () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "\n", " "), maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(fc.array(letters), fc.array(letters, { maxLength: 3 }), async (pieces, values) => {
      const shown = await shownOf(pieces, values)
      expect(shown).toBe(await maskAll(pieces.join(""), values))
      for (const value of values) if (value.trim() !== "") expect(shown).not.toContain(value)
    }),
  )
})

test("short secrets are masked exactly where they stand", async () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 5 })
  const naive = (text: string, values: readonly string[]): string => {
    const secretAt = new Set<number>()
    for (const value of values)
      for (let at = text.indexOf(value); at !== -1; at = text.indexOf(value, at + 1))
        for (let each = at; each < at + value.length; each++) secretAt.add(each)
    return [...text].map((letter, at) => (secretAt.has(at) ? (secretAt.has(at - 1) ? "" : masked) : letter)).join("")
  }
  await fc.assert(
    fc.asyncProperty(fc.array(letters), fc.array(letters, { maxLength: 4 }), async (words, values) => {
      const text = words.join("")
      expect(await maskAll(text, values)).toBe(naive(text, values))
    }),
  )
})

test("a secret of any length is masked whole, in any spelling, among any other text and in pieces of any length", async () => {
  const value = fc.string({
    unit: fc.constantFrom("a", "b", "é", "\n", "\r\n", '"', " ", "/", "%", "+", "\\", "\u{1f511}"),
    maxLength: 300,
  })
  const how = fc.constantFrom(...Object.values(spellings))
  await fc.assert(
    fc.asyncProperty(value, how, fc.integer({ min: 1, max: 80 }), async (text, spell, step) => {
      fc.pre(text.trim() !== "")
      const spelling = spell(text.trim())
      const whole = `<${spelling}>`
      const pieces = Array.from({ length: Math.ceil(whole.length / step) }, (_, at) =>
        whole.slice(at * step, (at + 1) * step),
      )
      expect(await shownOf(pieces, [text])).toBe(`<${masked}>`)
    }),
  )
})

test("a long secret does not show wherever the text is cut, whatever other secrets stand in it", async () => {
  const value = fc.string({ unit: fc.constantFrom("a", "b", "1", "\n"), minLength: 30, maxLength: 200 })
  const other = fc.constantFrom("1", "b1", "a\nb")
  const steps = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(value, other, steps, async (letters, short, lengths) => {
      const long = `x${letters}x`
      const pieces: string[] = []
      for (let rest = `<${long}>`; rest !== ""; rest = rest.slice(pieces.at(-1)?.length))
        pieces.push(rest.slice(0, lengths[pieces.length % lengths.length]))
      for (const values of [[long], [long, short]]) expect(await shownOf(pieces, values)).toBe(`<${masked}>`)
    }),
    { numRuns: 1_000 },
  )
})

test("a part of a long secret is masked alike wherever the text is cut", async () => {
  const value = fc.string({ unit: fc.constantFrom("a", "b", "1", "\n"), minLength: 60, maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(value, fc.nat(60), fc.integer({ min: 1, max: 60 }), async (long, from, step) => {
      const text = `<${long.slice(from, from + 100)}>`
      const pieces = Array.from({ length: Math.ceil(text.length / step) }, (_, at) =>
        text.slice(at * step, (at + 1) * step),
      )
      expect(await shownOf(pieces, [long])).toBe(await maskAll(text, [long]))
    }),
  )
})

test("a text of many pieces' length is masked across them", async () => {
  const text = `${"x".repeat(2 ** 15 - 3)}secret${"x".repeat(2 ** 15)}`
  expect(await maskAll(text, ["secret"])).toBe(text.replace("secret", masked))
})

test("long texts of one owner leave turns of the event loop to others", async () => {
  const done = { alice: 0, bob: 0 }
  const run = async (owner: keyof typeof done, pieces: number): Promise<void> => {
    const counting = { push: () => String(++done[owner]), end: () => "" }
    for await (const _ of pushInTurns(counting, "x".repeat(pieces * 2 ** 13), { ...by, owner }));
  }
  // spends the turn that goes on, so that all of them wait from the beginning
  loopTurns.measure(() => {
    for (const until = performance.now() + 60; performance.now() < until; );
  })
  const all = Array.from({ length: 20 }, () => run("alice", 50))
  await run("bob", 5)
  expect(done.bob).toBe(5)
  expect(done.alice).toBeLessThanOrEqual(10)
  await Promise.all(all)
})

describe("a text that comes in pieces", () => {
  test("is shown at once as far as it cannot be the beginning of a secret", async () => {
    const masker = createMasker(await makeNeedles(["secret"]))
    expect(masker.push("no such thing\nsec")).toBe("no such thing\n")
    expect(masker.push("ond\nsecre")).toBe("second\n")
    expect(masker.push("t!")).toBe(`${masked}!`)
    expect(masker.push("se")).toBe("")
    expect(masker.end()).toBe("se")
  })
  test("is shown line by line, though the secret has lines too", async () => {
    const lines = Array.from({ length: 40 }, (_, index) => `${index}`.repeat(3).padEnd(64, "MIIkey+/"))
    const masker = createMasker(await makeNeedles([`-----BEGIN KEY-----\n${lines.join("\n")}\n-----END KEY-----\n`]))
    for (const line of ["ready\n", "\n", "a+/\n", "a\r\n", "KEY-----\n"]) expect(masker.push(line)).toBe(line)
  })
  test("is never shown by half a character", async () => {
    const masker = createMasker(await makeNeedles(["secret"]))
    expect(masker.push("a\ud83d")).toBe("a")
    expect(masker.push("\ude00")).toBe("\ud83d\ude00")
    expect([masker.push("\ud83d"), masker.end()]).toEqual(["", "\ud83d"])
  })
  test("gets one mask for what touches, also across pieces", async () => {
    const masker = createMasker(await makeNeedles(["abc", "xyz"]))
    expect([masker.push("abc"), masker.push("xyz"), masker.push("."), masker.push("abc")]).toEqual([
      masked,
      "",
      ".",
      masked,
    ])
  })
  test("is masked at its end if it was cut there and may be half a secret", async () => {
    const masker = createMasker(await makeNeedles(["secret"]))
    expect([masker.push("a secr"), masker.end({ cut: true })]).toEqual(["a ", masked])
    expect(createMasker(await makeNeedles(["secret"])).end({ cut: true })).toBe("")
  })
})

describe("a log that was read up to a limit", () => {
  const values = ["canary"]
  test("is whole if it is shorter", async () => {
    expect(await maskRead("one\ncan", await makeNeedles(values), { limitBytes: 100, ...by })).toBe("one\ncan")
  })
  test("loses its last line, which may hold half a secret", async () => {
    expect(await maskRead("one canary\ntwo can", await makeNeedles(values), { limitBytes: 18, ...by })).toBe(
      `one ${masked}\n`,
    )
  })
  test("is shown if it is one endless line, without an end that may be half a secret", async () => {
    expect(await maskRead("one can", await makeNeedles(values), { limitBytes: 7, ...by })).toBe(`one ${masked}`)
    expect(await maskRead("one can\uFFFD", await makeNeedles(values), { limitBytes: 8, ...by })).toBe(`one ${masked}`)
  })
})
