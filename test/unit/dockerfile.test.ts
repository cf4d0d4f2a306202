import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { version } from "../../src/version.ts"
import { images } from "../kubernetes/support/images.ts"
import { repositoryFile } from "../support/reflow.ts"

const read = (path: string): string => readFileSync(repositoryFile(path), "utf8")

type Stage = { readonly name: string; readonly from: string; readonly lines: readonly (readonly [string, string])[] }

/** The stages of the Dockerfile: where each begins, and its instructions with what follows them. */
const stages: readonly Stage[] = read("Dockerfile")
  .split(/^(?=FROM )/m)
  .slice(1)
  .map((text) => {
    const [, from = "", name = ""] = /^FROM (\S+) AS (\S+)$/m.exec(text) ?? []
    const lines = [...text.matchAll(/^([A-Z]+) (.+)$/gm)].map(([, word = "", rest = ""]) => [word, rest] as const)
    return { name, from, lines }
  })

const stageNamed = (name: string): Stage => {
  const stage = stages.find((each) => each.name === name)
  if (stage === undefined) throw new Error(`The Dockerfile has no stage ${name}.`)
  return stage
}

/** The last word on an instruction in a stage, or in the one that it is built from. */
const last = (instruction: string, { lines, from }: Stage): string | undefined => {
  const own = lines.filter(([word]) => word === instruction).at(-1)?.[1]
  return own ?? (stages.some(({ name }) => name === from) ? last(instruction, stageNamed(from)) : undefined)
}

test("`docker build .` makes the gateway: its stage is the last", () => {
  expect(stages.at(-1)?.name).toBe("gateway")
  expect(last("COPY", stageNamed("gateway"))).toBe("--from=build /out/ /")
})

test("a release can name every image from elsewhere by its digest, and the gateway's image has its licences with it", () => {
  const elsewhere = stages.map(({ from }) => from).filter((from) => !stages.some(({ name }) => name === from))
  expect(elsewhere).toEqual([`\${NODE_IMAGE}`, `\${BASE_IMAGE}`])
  const [head = ""] = read("Dockerfile").split(/^FROM /m)
  for (const from of elsewhere) expect(head).toMatch(new RegExp(`^ARG ${from.slice(2, -1)}=[a-z0-9./:-]+$`, "m"))
  const copied = stageNamed("gateway")
    .lines.map(([, rest]) => rest)
    .join("\n")
  expect(copied).toContain("/src/dist/THIRD-PARTY.txt")
})

/** The images that are shipped, with their stage and what they begin with. */
const shipped = [
  ["gateway", "gateway", ["/usr/local/bin/reflow"], []],
  ["notes", "example-notes", ["/usr/local/bin/node"], ["examples/servers/notes.mjs"]],
  ["dice", "example-dice", ["/usr/local/bin/node"], ["examples/servers/dice.mjs"]],
] as const

test.each(shipped)("%s runs its program, without a shell, as a user that is not root", (short, name, program, args) => {
  const stage = stageNamed(name)
  expect(JSON.parse(last("ENTRYPOINT", stage) ?? "")).toEqual(program)
  expect(JSON.parse(last("CMD", stage) ?? "[]")).toEqual(args)
  expect(last("USER", stage)).toBe("65532:65532")
  // a numeric one, or runAsNonRoot refuses it
  expect(last("USER", stage)?.split(":")[0]).toBe(images[short].user)
})

test("the image of the tests begins with the same programs", () => {
  const packed = /const entrypoint = [\s\S]+?\n}/.exec(read("test/kubernetes/support/images.ts"))?.[0] ?? ""
  expect([...packed.matchAll(/"(\/usr\/[^"]+)"/g)].map(([, path]) => path)).toEqual([
    // of the images in which packages run
    "/usr/local/bin/node",
    "/usr/local/bin/python3",
    "/usr/local/bin/reflow",
    "/usr/local/bin/node",
  ])
  expect("server" in images.gateway).toBe(false)
})

test("the Dockerfile, its tests, the manifests and the program speak of one version", () => {
  const image = `ghcr.io/reflow/reflow-gateway:${version}`
  expect(JSON.parse(read("package.json"))).toMatchObject({ version })
  expect(images.gateway.name).toBe(image)
  const places = ["Dockerfile", "manager/20-operator.yaml", "manager/30-gateway.yaml", "docs/install.md"]
  for (const path of places) {
    const named = read(path).match(/ghcr\.io\/reflow\/reflow-gateway:[\w.-]+/g) ?? []
    expect(named.length, path).toBeGreaterThan(0)
    expect(new Set(named), path).toEqual(new Set([image]))
  }
})

test("the Dockerfile and the tests speak of one version of the examples", () => {
  for (const short of ["notes", "dice"] as const) expect(read("Dockerfile")).toContain(`-t ${images[short].name} `)
})
