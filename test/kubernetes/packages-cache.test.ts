/**
 * A cache claim in real Pods: what one Pod installed, the next one starts from without any network, and no server can
 * change it. The registries are on the node.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { serverContainer } from "../../src/api/kinds/pod.ts"
import { cluster, kubectl } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Claim, makeClaim } from "./support/package-claims.ts"
import {
  hasRegistries,
  installerLogs,
  makePackageTarget,
  npmPackage,
  packageSettings,
  podsOf,
  preparePackages,
  published,
  say,
} from "./support/package-place.ts"
import {
  openNpmRegistry,
  openPythonIndex,
  pythonServer,
  type ReachableIndex,
  type ReachableRegistry,
} from "./support/package-registries.ts"
import { instancesOf, makeTarget, type Place, setCredential, startPlace, users } from "./support/stdio-place.ts"

let place: Place
let registry: ReachableRegistry
let index: ReachableIndex
let claim: Claim

beforeAll(async () => {
  if (!hasRegistries) return
  await preparePackages()
  await ensureImages(["stdio"], cluster)
  const starting = await Promise.all([
    openNpmRegistry(published(["whoami", "madeModule"])),
    openPythonIndex([pythonServer]),
  ])
  registry = starting[0]
  index = starting[1]
  const set = {
    ...packageSettings({ npm: registry.way.url, pypi: index.url }),
    "kubernetes.packages.cache_claim": "packages",
  }
  place = await startPlace("packages-cache", set, async (namespace) => {
    claim = await makeClaim(namespace, "packages")
  })
  await makePackageTarget(place, "from-npm", npmPackage("whoami"))
  const python = { registryType: "pypi", identifier: pythonServer.name, version: pythonServer.version } as const
  await makePackageTarget(place, "from-pypi", python)
  for (const target of ["from-npm", "from-pypi"]) {
    await Promise.all(users.map((user) => setCredential(place, target, user)))
    expect(await say(place, target, "alice")).toContain("canary-of-alice")
  }
}, 400_000)

/** Runs JavaScript in the server's container of a target's first Pod. */
const inServer = (target: string, script: string): Promise<string> => {
  const [pod] = podsOf(place, target)
  const command = ["exec", pod?.metadata.name ?? "", "-n", place.instances, "-c", serverContainer, "--"]
  return kubectl([...command, "/usr/local/bin/node", "-e", script])
}

describe.runIf(hasRegistries)("what is in the cache claim", () => {
  test.each(["from-npm", "from-pypi"])("serves the next user without any network, %s", async (target) => {
    await Promise.all([registry.way.close(), index.way.close()])
    expect(await say(place, target, "bob")).toContain("canary-of-bob")
    expect(podsOf(place, target)).toHaveLength(2)
    expect(await installerLogs(place, target)).toMatch(
      /installed in [\d.]+ s[\s\S]*was there already|was there already[\s\S]*installed in/,
    )
  })

  test("cannot be changed by a server, which sees nothing else of it", async () => {
    const script = `
      const { readdirSync, writeFileSync } = require("node:fs")
      const attempt = (act) => { try { return act() } catch ({ code }) { return code } }
      const [runtime] = readdirSync("/reflow-package-tree")
      console.log(JSON.stringify({
        trees: readdirSync("/reflow-package-tree").length,
        tree: attempt(() => writeFileSync("/reflow-package-tree/" + runtime + "/x", "")),
        place: attempt(() => writeFileSync("/reflow-package-tree/x", "")),
        link: attempt(() => writeFileSync("/reflow-package/bin", "")),
        claim: attempt(() => readdirSync("/reflow-packages")),
      }))`
    expect(JSON.parse(await inServer("from-npm", script))).toEqual({
      trees: 1,
      tree: "EROFS",
      place: "EROFS",
      link: "EROFS",
      claim: "ENOENT",
    })
  })

  test("is not what a package with install scripts gets, or could change", async () => {
    await registry.way.lead(registry.url)
    await makePackageTarget(place, "scripts", npmPackage("madeModule", { allowScripts: true }))
    expect(await say(place, "scripts", "alice")).toMatch(/^pid/)
    const [pod] = podsOf(place, "scripts")
    expect(JSON.stringify(pod?.spec)).not.toContain(claim.name)
  })
})

/** Seconds from a call without an instance to its answer. */
const coldStart = async (target: string): Promise<number> => {
  for (const { metadata } of instancesOf(place, target))
    await kubectl(["delete", "mcpi", metadata.name, "-n", place.instances, "--wait=true"])
  await expect.poll(() => instancesOf(place, target).length + podsOf(place, target).length, { timeout: 60_000 }).toBe(0)
  const at = performance.now()
  expect(await say(place, target, "alice")).toMatch(/^pid/)
  return (performance.now() - at) / 1_000
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

test.runIf(hasRegistries)(
  "every cold start takes the tree that is there, as one of an image takes its image",
  async () => {
    await makeTarget(place, "of-image", "onNode")
    const seconds = { "from-npm": [] as number[], "of-image": [] as number[] }
    for (let run = 0; run < 6; run++)
      for (const target of ["from-npm", "of-image"] as const) {
        const took = await coldStart(target)
        // the first of each kind is not like the others
        if (run > 0) seconds[target].push(took)
        if (target === "from-npm") expect(await installerLogs(place, target)).toContain("was there already")
      }
    for (const [target, all] of Object.entries(seconds))
      console.log(
        `cold starts ${target}: median ${median(all).toFixed(2)} s of ${all.map((each) => each.toFixed(2)).join(", ")}`,
      )
  },
  200_000,
)
