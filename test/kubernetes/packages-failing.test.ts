/**
 * Packages that cannot be installed, or whose server cannot start, in real Pods: what the waiting client hears, how soon,
 * and that the server starts by itself once the cause is gone. All are made at once; each test then looks at its own.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import type { Package } from "../../src/api/kinds/package.ts"
import { installerContainer } from "../../src/api/kinds/pod.ts"
import { kubectl, kubectlJson } from "./support/cluster.ts"
import { npmPackages } from "./support/npm-packages.ts"
import { type Claim, makeClaim } from "./support/package-claims.ts"
import {
  type Heard,
  hasRegistries,
  hear,
  makePackageTarget,
  npmPackage,
  packageSettings,
  podsOf,
  preparePackages,
  published,
  say,
} from "./support/package-place.ts"
import {
  makeWay,
  openChangedRegistry,
  openNpmRegistry,
  openPythonIndex,
  type ReachableRegistry,
  type Way,
  wayTo,
} from "./support/package-registries.ts"
import { instancesOf, type Place, startOperator, startPlace } from "./support/stdio-place.ts"

/** How much sooner a person wants to hear of a failure than this, milliseconds: counted from the installer's end. */
const soonMs = 5_000

let place: Place
let registry: ReachableRegistry
/** A way to the registry that is closed. */
let closed: Way
/** A way to a registry that has changed a package after it was published. */
let changed: Way
const heard = new Map<string, Promise<Heard>>()

const pypi = (identifier: string): Package => ({ registryType: "pypi", identifier, version: "1.0.0" })

/** Every target, its package and what else it says. */
const targets = (): Readonly<Record<string, readonly [named: Package, more?: object]>> => ({
  "wrong-version": [npmPackage("whoami", { version: "9.9.9" })],
  unknown: [npmPackage("late")],
  "unknown-pypi": [pypi("mcp-server-nowhere")],
  library: [npmPackage("library")],
  "no-program-yet": [npmPackage("madeProgram")],
  "no-module-yet": [npmPackage("madeModule")],
  gone: [npmPackage("whoami", { registryBaseUrl: closed.url })],
  tampered: [npmPackage("tampered", { registryBaseUrl: changed.url })],
  slow: [npmPackage("slow", { allowScripts: true }), { stdio: {}, startTimeout: "15s" }],
})

beforeAll(async () => {
  if (!hasRegistries) return
  await preparePackages()
  const packages = published(["whoami", "library", "madeProgram", "madeModule", "slow", "tampered", "large"])
  const starting = await Promise.all([openNpmRegistry(packages), openPythonIndex([])])
  registry = starting[0]
  closed = await makeWay()
  changed = await wayTo(await openChangedRegistry({ ...npmPackages.tampered, version: "1.0.0" }))
  place = await startPlace("packages-failing", packageSettings({ npm: registry.way.url, pypi: starting[1].url }))
  const all = Object.entries(targets())
  await Promise.all(all.map(([name, [named, more]]) => makePackageTarget(place, name, named, more)))
  for (const [name] of all) heard.set(name, hear(place, name, "alice"))
}, 400_000)

/** What a client of a target heard, and the failure's own words. */
const failureOf = async (target: string) => {
  const { error, at } = (await heard.get(target)) ?? { at: 0 }
  const { message = "" } = findCondition(instancesOf(place, target)[0]?.status?.conditions, "Ready") ?? {}
  return { data: error?.data ?? {}, message: String(error?.data.message ?? ""), at, condition: message }
}

/** When the first installer of a target ended, milliseconds since the epoch; the API server tells full seconds. */
const firstEndOf = (target: string): number => {
  const [status] = podsOf(place, target).flatMap(
    ({ status }) => status?.initContainerStatuses?.filter(({ name }) => name === installerContainer) ?? [],
  )
  const ended = status?.lastState?.terminated ?? status?.state?.terminated
  return Date.parse(String(ended?.finishedAt ?? ""))
}

/** Resolves once a target's instance is ready, without anybody's call. */
const isReady = (target: string): Promise<void> => {
  const status = () => findCondition(instancesOf(place, target)[0]?.status?.conditions, "Ready")?.status
  return expect.poll(status, { timeout: 110_000, interval: 200 }).toBe("True")
}

const patch = (target: string, spec: object): Promise<string> =>
  kubectl(["patch", "mcpt", target, "-n", place.instances, "--type=merge", "-p", JSON.stringify({ spec })])

/** What is wrong with each target, as the client hears it. */
const told: Readonly<Record<string, RegExp>> = {
  "wrong-version": /There is no @org\/mcp-whoami@9\.9\.9 in .*Correct the version/,
  unknown: /mcp-late.* is not in .*Correct the name/,
  "unknown-pypi": /mcp-server-nowhere.* is not in .*Correct the name/,
  library: /mcp-library has no program/,
  "no-program-yet": /made\.mjs.*allowScripts/,
  gone: /cannot be reached: .* accepts no connection/,
  tampered: /other content than/,
}

describe.runIf(hasRegistries)("the waiting client hears why a package is not installed:", () => {
  test.each(Object.entries(told))("%s", async (target, words) => {
    const { data, message, at, condition } = await failureOf(target)
    expect(data).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed", exit_code: 1 })
    expect(message).toMatch(words)
    expect(condition).toMatch(words)
    const late = at - firstEndOf(target)
    console.log(`${target}: heard ${late} ms after the installer's end`)
    expect(late).toBeLessThan(soonMs + 1_000)
  })

  test("with the last lines of the package manager", async () => {
    const { data, message } = await failureOf("unknown")
    expect(message).toMatch(/Its last lines: .*npm error code E404/)
    expect((data.log as string[]).join("\n")).toContain("npm error code E404")
  })

  test("an installation that takes too long, before the start's own time is up", async () => {
    const { data, message } = await failureOf("slow")
    expect(data).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed" })
    expect(message).toMatch(/mcp-slow@1\.0\.0 was not installed within 10s/)
  })

  test("a server that crashes because an install script was not run: what must be set for it", async () => {
    const { error } = (await heard.get("no-module-yet")) ?? {}
    // the process of the first session, or the start: whichever the client has met
    expect(["ServerProcessEnded", "InstanceFailed"]).toContain(error?.data.code)
    expect(error?.message).toMatch(/Install scripts were not run \(mcp-made-module\).*package\.allowScripts/)
    expect(String(error?.data.log)).toContain("made.mjs")
  })
})

describe.runIf(hasRegistries)("once the cause is gone, the server starts by itself:", () => {
  const cures: Readonly<Record<string, () => Promise<unknown>>> = {
    "wrong-version": () => registry.publish(...published(["whoami"], "9.9.9")),
    unknown: () => registry.publish(...published(["late"])),
    "no-program-yet": () => patch("no-program-yet", { package: { allowScripts: true } }),
    "no-module-yet": () => patch("no-module-yet", { package: { allowScripts: true } }),
    gone: () => closed.lead(registry.url),
    tampered: () => changed.lead(registry.url),
  }

  test("a version and a package that are published, a registry that is back, an archive that is whole again, scripts that are allowed", async () => {
    await Promise.all(heard.values())
    await Promise.all(Object.values(cures).map((cure) => cure()))
    await Promise.all(Object.keys(cures).map((target) => isReady(target)))
    for (const target of Object.keys(cures)) expect(await say(place, target, "alice")).toMatch(/^pid/)
    const starts = ["wrong-version", "unknown", "gone", "tampered"].map((each) => instancesOf(place, each)[0]?.status)
    expect(starts.map((status) => status?.starts)).toEqual([1, 1, 1, 1])
  }, 150_000)
})

describe.runIf(hasRegistries)("a cache claim that is full", () => {
  let claim: Claim
  beforeAll(async () => {
    claim = await makeClaim(place.instances, "small", "6m")
    place.operator.process.kill("SIGTERM")
    await place.operator.ended
    await startOperator(place, {
      ...packageSettings({ npm: registry.way.url }),
      "kubernetes.packages.cache_claim": claim.name,
    })
  }, 60_000)

  test("is told to the waiting client; with room the server starts by itself", async () => {
    await makePackageTarget(place, "large", npmPackage("large"))
    const { error } = await hear(place, "large", "alice")
    expect(error?.data).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed" })
    expect(error?.message).toMatch(/The disk is full/)
    await claim.resize("64m")
    await isReady("large")
  })
})

test.runIf(hasRegistries)("each failure is one Event of its instance", async () => {
  const list = (await kubectlJson(["get", "events", "-n", place.instances])) as {
    items: readonly { reason: string; message: string; involvedObject: { kind: string } }[]
  }
  const failures = list.items.filter(
    ({ reason, involvedObject }) => reason === "PackageInstallFailed" && involvedObject.kind === "MCPInstance",
  )
  expect(failures.length).toBeGreaterThanOrEqual(Object.keys(told).length)
})
