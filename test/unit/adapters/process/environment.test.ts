import { expect, test } from "vitest"
import { expand, resolveContainer, unusablePart, withoutSecrets } from "../../../../src/adapters/process/environment.ts"
import type { Container } from "../../../../src/api/pod.ts"

const base = { PATH: "/bin", HOME: "/home/me", LANG: "C" }
const container = (more: Partial<Container> = {}): Container => ({ name: "mcp", image: "i", command: ["run"], ...more })
const resolve = (more: Partial<Container>, secrets: Record<string, Record<string, string>> = {}) =>
  resolveContainer({ container: container(more), secrets: new Map(Object.entries(secrets)), base, port: 4321 })

test("the environment is the base, then Secrets in order, then env, then the node's port", () => {
  const { variables } = resolve(
    {
      env: [
        { name: "LANG", value: "de" },
        { name: "B", value: "env" },
        { name: "PORT", value: "8080" },
        { name: "EMPTY" },
      ],
      envFrom: [{ secretRef: { name: "one" } }, { secretRef: { name: "two" } }],
    },
    { one: { A: "1", B: "1", PORT: "1" }, two: { A: "2", PATH: "/opt" } },
  )
  expect(variables).toEqual({ PATH: "/opt", HOME: "/home/me", LANG: "de", A: "2", B: "env", PORT: "4321", EMPTY: "" })
})

test("HOME=/tmp, which containers need, does not replace the user's own; another HOME does", () => {
  expect(resolve({ env: [{ name: "HOME", value: "/tmp" }] }).variables.HOME).toBe("/home/me")
  expect(resolve({ env: [{ name: "HOME", value: "/srv" }] }).variables.HOME).toBe("/srv")
})

test("$(NAME) stands for a variable in env, command and args, as on a cluster", () => {
  const { argv, variables } = resolve({
    command: ["serve", "--port=$(PORT)"],
    args: ["$(MODE)", "$$(MODE)", "$(UNKNOWN)", "$(constructor)"],
    env: [
      { name: "MODE", value: "fast" },
      { name: "URL", value: "http://x:$(PORT)/$(MODE)/$(LATER)" },
      { name: "LATER", value: "1" },
    ],
  })
  expect(argv).toEqual(["serve", "--port=4321", "fast", "$(MODE)", "$(UNKNOWN)", "$(constructor)"])
  expect(variables.URL).toBe("http://x:4321/fast/$(LATER)")
})

test("a Secret's value reaches the environment, by way of env too, but never the command line", () => {
  const { argv, variables, secretValues } = resolve(
    {
      args: ["--token=$(TOKEN)", "--url=$(URL)"],
      env: [{ name: "URL", value: "http://$(TOKEN)@x" }],
      envFrom: [{ secretRef: { name: "s" } }],
    },
    { s: { TOKEN: "canary" } },
  )
  expect(variables).toMatchObject({ TOKEN: "canary", URL: "http://canary@x" })
  expect(argv.join(" ")).not.toContain("canary")
  expect(secretValues).toEqual(["canary"])
})

test("keys that cannot be variables are left out", () => {
  const { variables } = resolve({ envFrom: [{ secretRef: { name: "s" } }] }, { s: { "": "x", "a=b": "x", "c.d": "y" } })
  expect(variables).toEqual({ ...base, PORT: "4321", "c.d": "y" })
})

test("a NUL character is named by its variable, without the value", () => {
  expect(unusablePart(resolve({}))).toBeUndefined()
  expect(unusablePart(resolve({ args: ["a\0"] }))).toMatch(/command/)
  const broken = resolve({ envFrom: [{ secretRef: { name: "s" } }] }, { s: { TOKEN: "can\0ary" } })
  expect(unusablePart(broken)).toBe("the value of environment variable TOKEN contains a NUL character")
})

test("expand takes $$ for a dollar sign only once", () => {
  expect(expand("$$(A) $$$(A) $(A) $", { A: "1" })).toBe("$(A) $1 1 $")
})

test("secret values are taken out of a text, the longest first, blank ones not at all", () => {
  expect(withoutSecrets("abc abcdef  x\n", ["abc", "abcdef\n", "", " "])).toBe("••• •••  x\n")
  expect(withoutSecrets("got line-one-of-key!", ["-- \nline-one-of-key\n--"])).toBe("got •••!")
})
