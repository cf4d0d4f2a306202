import { expect, test } from "vitest"
import { resolveContainer, unusablePart } from "../../../../src/adapters/process/environment.ts"
import type { Container } from "../../../../src/api/kinds/pod.ts"

const base = { PATH: "/bin", HOME: "/home/me", LANG: "C" }
const container = (more: Partial<Container> = {}): Container => ({ name: "mcp", image: "i", command: ["run"], ...more })
const field = (path: string): string | undefined => (path === "metadata.name" ? "pod-1" : undefined)
const resolve = (more: Partial<Container>, secrets: Record<string, Record<string, string>> = {}) =>
  resolveContainer({ container: container(more), secrets: new Map(Object.entries(secrets)), field, base, port: 4321 })

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

test("an init container gets no port: PORT is what its own environment says, or nothing", () => {
  const resolved = (more: Partial<Container>) =>
    resolveContainer({ container: container(more), secrets: new Map(), field, base })
  expect(resolved({ args: ["$(PORT)"] })).toMatchObject({ argv: ["run", "$(PORT)"], variables: base })
  expect(resolved({}).variables).not.toHaveProperty("PORT")
  expect(resolved({ env: [{ name: "PORT", value: "99" }] }).variables.PORT).toBe("99")
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

test("a Secret's value reaches env and the command line as it is: nothing in it is expanded", () => {
  const hostile = { TOKEN: "$(MODE)$$(MODE)$$$(TOKEN)", DOLLARS: "$$" }
  const { argv, variables, secretValues } = resolve(
    {
      command: ["$(DOLLARS)"],
      args: ["--token=$(TOKEN)", "$(URL)", "$$(TOKEN)", "$(SELF)"],
      env: [
        { name: "MODE", value: "fast" },
        { name: "URL", value: "http://$(TOKEN)@x$(DOLLARS)" },
        { name: "SELF", value: "$(SELF)" },
      ],
      envFrom: [{ secretRef: { name: "s" } }],
    },
    { s: hostile },
  )
  expect(variables).toMatchObject({ ...hostile, URL: `http://${hostile.TOKEN}@x$$`, SELF: "$(SELF)" })
  expect(argv).toEqual(["$$", `--token=${hostile.TOKEN}`, variables.URL, "$(TOKEN)", "$(SELF)"])
  expect(secretValues).toEqual(Object.values(hostile))
})

test("a variable may be made of the Secret's value of the same name, once", () => {
  const env = ["a$(TOKEN)", "b$(TOKEN)"].map((value) => ({ name: "TOKEN", value }))
  const { argv, variables } = resolve(
    { args: ["$(TOKEN)"], env, envFrom: [{ secretRef: { name: "s" } }] },
    { s: { TOKEN: "t" } },
  )
  expect([variables.TOKEN, argv.at(-1)]).toEqual(["bat", "bat"])
})

test("what this machine has and a container has not stays as it is, but for its HOME", () => {
  expect(resolve({ args: ["$(PATH)", "$(LANG)", "$(HOME)"] }).argv).toEqual(["run", "$(PATH)", "$(LANG)", "$(HOME)"])
  const env = [
    { name: "HOME", value: "/tmp" },
    { name: "CACHE", value: "$(HOME)/cache" },
  ]
  const { argv, variables } = resolve({ args: ["$(HOME)"], env })
  expect([argv.at(-1), variables.CACHE]).toEqual(["/home/me", "/home/me/cache"])
})

test("what may be shown of the command line is the Pod's own word for the program", () => {
  const resolved = resolve({ command: ["$(T)"], envFrom: [{ secretRef: { name: "s" } }] }, { s: { T: "canary" } })
  expect([resolved.argv[0], resolved.program]).toEqual(["canary", "$(T)"])
})

test("what $(NAME) makes too much of is told by its variable, without being made", () => {
  const env = Array.from({ length: 100 }, (_, at) => ({
    name: `V${at}`,
    value: at === 0 ? "$(T)" : `$(V${at - 1})`.repeat(2),
  }))
  const resolved = resolve({ env, envFrom: [{ secretRef: { name: "s" } }] }, { s: { T: "canary" } })
  expect(resolved).toMatchObject({ argv: [], variables: {} })
  expect(unusablePart(resolved)).toMatch(/^The environment variable V15 becomes longer than 131072 bytes/)
  expect(unusablePart(resolved)).not.toContain("canary")
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

test("envFrom puts its prefix before each key of its Secret", () => {
  const envFrom = [{ prefix: "ONE_", secretRef: { name: "s" } }, { secretRef: { name: "s" } }, { prefix: "NO_" }]
  const { variables, argv, secretValues } = resolve({ args: ["$(ONE_TOKEN)"], envFrom }, { s: { TOKEN: "canary" } })
  expect(variables).toMatchObject({ ONE_TOKEN: "canary", TOKEN: "canary" })
  expect(Object.keys(variables).filter((name) => name.startsWith("NO_"))).toEqual([])
  expect(argv).toEqual(["run", "canary"])
  expect(secretValues).toContain("canary")
})

test("valueFrom gives a key of a Secret and a field of the Pod, as they are, to env and the command line after it", () => {
  const token = "$(MODE) $$ $(POD)"
  const { variables, argv, secretValues } = resolve(
    {
      args: ["$(TOKEN)"],
      env: [
        { name: "EARLY", value: "$(TOKEN)" },
        { name: "MODE", value: "fast" },
        { name: "TOKEN", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
        { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "URL", value: "http://$(TOKEN)@$(POD)" },
        { name: "PORT", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
        { name: "ABSENT", valueFrom: { secretKeyRef: { name: "s", key: "other", optional: true } } },
        { name: "NO_MAP", valueFrom: { configMapKeyRef: { name: "s", key: "k", optional: true } } },
      ],
    },
    { s: { k: token } },
  )
  expect(variables).toMatchObject({
    EARLY: "$(TOKEN)",
    TOKEN: token,
    POD: "pod-1",
    URL: `http://${token}@pod-1`,
    PORT: "4321",
  })
  expect(Object.keys(variables)).not.toEqual(expect.arrayContaining(["ABSENT"]))
  expect(variables.NO_MAP).toBeUndefined()
  expect(argv).toEqual(["run", token])
  expect(secretValues).toContain(token)
})

test("a value from a Secret counts as often as the command line repeats it", () => {
  const env = [{ name: "T", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }]
  const resolved = resolve({ args: ["$(T)".repeat(40)], env }, { s: { k: "canary".repeat(10_000) } })
  expect(unusablePart(resolved)).toMatch(/becomes|become/)
  expect(resolved.argv).toEqual([])
})
