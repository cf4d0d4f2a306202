import { describe, expect, test } from "vitest"
import { createMask, deathText, diedError, silentError } from "../../../src/bridge/explain.ts"
import { createTail } from "../../../src/bridge/process/tail.ts"

const childThatSaid = (text: string) => {
  const tail = createTail()
  tail.add(Buffer.from(text))
  return { tail }
}

const base64 = (text: string, alphabet: "base64" | "base64url" = "base64") => Buffer.from(text).toString(alphabet)

describe("the mask of an environment", () => {
  const secret = 'pa"ss\\wörd/+?&'
  const mask = createMask({
    PASSWORD: secret,
    SHORT: "12345",
    PATH: "/usr/bin",
    HOME: "/home/alice",
    NOTHING: undefined,
  })

  test.for([
    ["as it is", secret],
    ["escaped as JSON", JSON.stringify(secret).slice(1, -1)],
    ["in a URL", encodeURIComponent(secret)],
  ])("hides a value %s", ([, written]) => {
    expect(mask(`<${written}> twice ${written}.`)).toBe("<***> twice ***.")
  })

  test.for(["", "a", "ab", "user:", "alice:", "longer user:"])("hides a value in base64 behind '%s'", (before) => {
    for (const alphabet of ["base64", "base64url"] as const)
      for (const behind of ["", "x", "xy", "xyz"]) {
        const written = base64(before + secret + behind, alphabet)
        const masked = mask(`Basic ${written}`)
        expect(masked).toContain("***")
        // at its edges two characters may be left, which hold less than a byte of the value each
        const longest = base64(secret, alphabet).length
        expect(masked.length).toBeLessThan(`Basic ${written}`.length - longest + 8)
      }
  })

  test("lets short values, PATH and HOME stand", () => {
    const text = "12345 of /usr/bin in /home/alice"
    expect(mask(text)).toBe(text)
  })

  test("hides values of six characters, each long line of a value, and the longest value first", () => {
    const all = createMask({
      SIX: "123456",
      KEY: "-----BEGIN\n  first line\r\nab\nsecond line\n",
      LONGER: "1234567890",
    })
    expect(all("123456 and 1234567890")).toBe("*** and ***")
    expect(all("first line, second line, ab")).toBe("***, ***, ab")
    expect(all("-----BEGIN\n  first line\r\nab\nsecond line")).toBe("***")
  })

  test("hides a value with half a surrogate pair too", () => {
    expect(createMask({ ODD: "secret\ud834" })("secret\ud834")).toBe("***")
  })
})

describe("the error of a death", () => {
  test("names the exit code or the signal, and shows nothing without a mask", () => {
    const child = childThatSaid("the secret\n")
    const exited = diedError(child, { code: 3, signal: null }, undefined)
    expect([exited.code, exited.data]).toEqual(["ServerProcessEnded", { exit_code: 3 }])
    expect(exited.message).toBe("The server's process ended with exit code 3.")
    const killed = diedError(child, { code: null, signal: "SIGSEGV" }, undefined)
    expect([killed.data, killed.message]).toEqual([{ signal: "SIGSEGV" }, "The server's process was ended by SIGSEGV."])
    expect(deathText({ code: null, signal: null, refused: "EACCES" })).toBe("could not be started (EACCES)")
  })

  test("adds what whoever set the server up wants to have known, also where nobody may see its lines", () => {
    const child = { ...childThatSaid("no module\n"), hint: "Set allowScripts." }
    expect(diedError(child, { code: 1, signal: null }, undefined).message).toBe(
      "The server's process ended with exit code 1. Set allowScripts.",
    )
    expect(diedError(child, { code: 1, signal: null }, (text) => text).message).toBe(
      "The server's process ended with exit code 1. Set allowScripts. Its last lines: no module",
    )
  })

  test("shows at most the last 20 lines of 500 characters, masked before they are cut, and 5 of them in the message", () => {
    const secret = "s".repeat(600)
    const lines = Array.from({ length: 30 }, (_, at) => `line ${at} ${"x".repeat(490)}${secret}`).join("\n\n")
    const error = diedError(childThatSaid(`${lines}\n`), { code: 1, signal: null }, createMask({ SECRET: secret }))
    const log = error.data?.log as readonly string[]
    expect(log).toHaveLength(20)
    expect(log[0]).toMatch(/^line 10 /)
    expect(Math.max(...log.map(({ length }) => length))).toBeLessThanOrEqual(500)
    expect(JSON.stringify(log)).not.toContain("ss")
    expect(error.message.split(" | ")).toHaveLength(5)
  })

  test("of a server that said nothing has no log", () => {
    const error = silentError(childThatSaid(" \n\n"), 1_500, createMask({}))
    expect(error.data).toEqual({})
    expect(error.message).toBe("The server did not answer 'initialize' within 1.5 s, and was ended.")
  })
})
