/**
 * Servers from published packages, in Pods under the Pod Security Standard `restricted`: an npm registry and an index of
 * Python packages are on the node.
 */
import { readFileSync } from "node:fs"
import { beforeAll, describe, expect, test } from "vitest"
import { stringify } from "yaml"
import { toNetworkPolicies } from "../../src/adapters/kube/network-policies.ts"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { installerContainer, serverContainer } from "../../src/api/kinds/pod.ts"
import { toolText } from "../support/modern.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"
import { kubectl, kubectlJson, makeNamespace } from "./support/cluster.ts"
import { type Followed, follow } from "./support/followed.ts"
import { images } from "./support/images.ts"
import {
  hasRegistries,
  hear,
  installerLogs,
  makePackageTarget,
  npmPackage,
  packageSettings,
  podsOf,
  preparePackages,
  published,
  say,
  serveBoth,
} from "./support/package-place.ts"
import {
  openNpmRegistry,
  openPythonIndex,
  pythonServer,
  type ReachableRegistry,
  type Way,
  wayTo,
} from "./support/package-registries.ts"
import { makeRegistryPod, makeRegistryService } from "./support/registry-pod.ts"
import { instancesOf, type Place, secretOf, setCredential, startPlace } from "./support/stdio-place.ts"

/** A token that the registry does not know. */
const wrongToken = "canary-of-no-registry"

let place: Place
let registry: ReachableRegistry
/** Who may read the registry's private packages. */
let token = ""
/** Where the registry is reached with a wrong token. */
let wrongWay: Way
let told: readonly Followed[] = []

const secretNamed = (name: string, token: string) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name },
  stringData: { token },
})

const makeSecrets = async (namespace: string): Promise<void> => {
  const items = [secretNamed("npm-registry", token), secretNamed("wrong-registry", wrongToken)]
  await kubectl(["create", "-n", namespace, "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  })
}

beforeAll(async () => {
  if (!hasRegistries) return
  await preparePackages()
  const packages = published(["whoami", "http", "observing", "private"])
  const starting = await Promise.all([openNpmRegistry(packages), openPythonIndex([pythonServer])])
  registry = starting[0]
  token = registry.reader.token
  wrongWay = await wayTo(registry.url)
  const set = {
    ...packageSettings({ npm: registry.way.url, pypi: starting[1].url }),
    "kubernetes.packages.npm.secret": "npm-registry",
    "kubernetes.packages.registries": JSON.stringify([{ url: wrongWay.url, secret: "wrong-registry" }]),
  }
  place = await startPlace("packages", set, makeSecrets)
  told = ["pods", "mcpinstances", "mcptargets", "events"].map((plural) => follow(plural, place.instances))
}, 400_000)

/** Resolves once a target's instance is ready, without anybody's call. */
const isReady = (target: string): Promise<void> => {
  const status = () => findCondition(instancesOf(place, target)[0]?.status?.conditions, "Ready")?.status
  return expect.poll(status, { timeout: 110_000, interval: 200 }).toBe("True")
}

describe.runIf(hasRegistries)("a published package is a server of each user, with their own credential,", () => {
  test("from an npm registry", async () => {
    await makePackageTarget(place, "from-npm", npmPackage("whoami"))
    await serveBoth(place, "from-npm")
  })

  test("from an index of Python packages", async () => {
    const named = { registryType: "pypi", identifier: pythonServer.name, version: pythonServer.version } as const
    await makePackageTarget(place, "from-pypi", named, { stdio: {}, args: ["--root", "$(HOME)"] })
    await serveBoth(place, "from-pypi")
    const seen = JSON.parse(await say(place, "from-pypi", "alice", "seen"))
    expect(seen).toMatchObject({ uid: 65_532, arguments: ["--root", "/tmp"] })
  })

  test("also one that speaks HTTP itself", async () => {
    await makePackageTarget(place, "by-http", npmPackage("http"), { port: 8080 })
    await setCredential(place, "by-http", "alice")
    const said = await toolText(`${place.url}/mcp/by-http`, secretOf.alice, "env", { names: ["TOKEN"] })
    expect(JSON.parse(said)).toEqual({ TOKEN: "canary-of-alice" })
  })

  test("and how long the installation took is told as a step of the start", async () => {
    // before a server that is faster than the kubelet's word of it answers, its steps are not known
    const slow = { port: 8080, env: [{ name: "START_SECONDS", value: "3" }] }
    await makePackageTarget(place, "timed", npmPackage("http", { allowScripts: true }), slow)
    const opened = await post(`${place.url}/mcp/timed`, secretOf.alice, initialize())
    expect(opened.status, await opened.text()).toBe(200)
    const [, installMs = ""] = /\binstall;dur=(\d+)/.exec(opened.headers.get("server-timing") ?? "") ?? []
    expect(Number(installMs)).toBeGreaterThanOrEqual(1_000)
    await isReady("timed")
    expect(instancesOf(place, "timed")[0]?.status?.timings).toMatchObject({ install: Number(installMs) / 1_000 })
  })
})

describe.runIf(hasRegistries)("the init container that installs a package", () => {
  test("has nothing of the user: no variable, no credential, no token of a ServiceAccount; its root is read-only", async () => {
    await makePackageTarget(place, "observed", npmPackage("observing", { allowScripts: true }))
    await setCredential(place, "observed", "alice")
    expect(await say(place, "observed", "alice")).toContain("canary-of-alice")
    // what an install script has seen
    const text = await say(place, "observed", "alice", "surroundings")
    expect(text).not.toContain("canary-of-alice")
    expect(text).not.toContain(token)
    const seen = JSON.parse(text)
    expect(seen).toMatchObject({ uid: 65_532, gid: 65_532, written: "EROFS", token: "ENOENT" })
    for (const names of [Object.keys(seen.env), seen.first.map((entry: string) => entry.split("=")[0])])
      expect(names).not.toContain("TOKEN")
  })

  test("is restricted as the server is, and is not given what the server is given", async () => {
    for (const target of ["from-npm", "from-pypi", "observed"]) {
      const [pod] = podsOf(place, target)
      const installer = pod?.spec.initContainers?.find(({ name }) => name === installerContainer)
      const server = pod?.spec.containers.find(({ name }) => name === serverContainer)
      expect(installer).toMatchObject({ securityContext: server?.securityContext })
      expect(installer?.securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      })
      expect([installer?.env, installer?.envFrom]).toEqual([undefined, undefined])
      expect(JSON.stringify(server?.envFrom)).toContain("secretRef")
      expect(server?.image).toBe(target === "from-pypi" ? images.pypi.name : images.npm.name)
    }
  })
})

describe.runIf(hasRegistries)("credentials of a registry", () => {
  /** The contents of all files that a server's Pod can read of what was installed, and the folders of its root. */
  const readFiles = `
    const { readdirSync, readFileSync } = require("node:fs")
    const files = readdirSync("/reflow-package", { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
    process.stdout.write(readdirSync("/").join("\\n") + "\\n")
    for (const { parentPath, name } of files) process.stdout.write(readFileSync(parentPath + "/" + name))`

  test("let a private package be installed, and reach neither the server nor its files", async () => {
    await makePackageTarget(place, "private", npmPackage("private"))
    await setCredential(place, "private", "alice")
    expect(await say(place, "private", "alice")).toContain("canary-of-alice")
    const [pod] = podsOf(place, "private")
    const server = pod?.spec.containers.find(({ name }) => name === serverContainer)
    expect(JSON.stringify(pod?.spec.initContainers)).toContain("reflow-registry")
    expect(JSON.stringify(server)).not.toContain("reflow-registry")
    const run = ["exec", pod?.metadata.name ?? "", "-n", place.instances, "-c", serverContainer, "--"]
    const files = await kubectl([...run, "/usr/local/bin/node", "-e", readFiles])
    expect(files).toContain("whoami: () =>")
    expect(files).not.toContain(token)
    expect(files).not.toMatch(/^reflow-registry$/m)
  })

  test("that the registry does not take are told to the waiting client, and the right ones then let the server start", async () => {
    await makePackageTarget(place, "refused", npmPackage("private", { registryBaseUrl: wrongWay.url }))
    const { error } = await hear(place, "refused", "alice")
    expect(error?.data).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed" })
    expect(error?.message).toMatch(/401|403|credential|token/i)
    expect(JSON.stringify(error)).not.toContain(wrongToken)
    expect(await installerLogs(place, "refused")).not.toContain(wrongToken)
    const right = JSON.stringify({ stringData: { token } })
    await kubectl(["patch", "secret", "wrong-registry", "-n", place.instances, "-p", right])
    await isReady("refused")
  })

  test("are in no log, no object but the Secret, and no Event", async () => {
    const targets = ["private", "refused", "observed", "from-npm"]
    const logs = await Promise.all(targets.map((target) => installerLogs(place, target)))
    const list = await kubectlJson(["get", "pods,mcpi,mcpt,configmaps,events", "-n", place.instances])
    const all = [...logs, JSON.stringify(list), place.operator.output(), place.gateway.output()]
    for (const text of [...all, ...told.map((each) => each.text())])
      for (const secret of [token, wrongToken, btoa(token), btoa(wrongToken)]) expect(text.includes(secret)).toBe(false)
    expect(told.every((each) => each.text().length > 1_000)).toBe(true)
  })
})

describe.runIf(hasRegistries)("a registry in a Pod of another namespace", () => {
  test("is not reached with the policies of manager/, which the client hears; with the example it is, and the server starts", async () => {
    const elsewhere = await makeNamespace("registries")
    const url = await makeRegistryService(elsewhere, "verdaccio")
    const policies = toNetworkPolicies(place, []).map(({ policy }) => policy)
    await kubectl(["apply", "-f", "-"], { input: policies.map((each) => stringify(each)).join("---\n") })
    await makePackageTarget(place, "inside", npmPackage("whoami", { registryBaseUrl: url }))
    expect((await hear(place, "inside", "alice")).error?.message).toMatch(/cannot be reached.* accepts no connection/)
    // a network may enforce policies a moment after a Pod has begun: the registry comes later than that
    await makeRegistryPod(elsewhere, "verdaccio", registry.way)
    const message = () => findCondition(instancesOf(place, "inside")[0]?.status?.conditions, "Ready")?.message ?? ""
    await expect.poll(message, { timeout: 60_000, interval: 200 }).toMatch(/does not answer within 5 s/)
    const { error } = await hear(place, "inside", "alice")
    expect(error?.data).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed" })
    expect(error?.message).toMatch(/cannot be reached.* does not answer .*NetworkPolicies/)

    const example = readFileSync(repositoryFile("examples/network-policies/registry.yaml"), "utf8")
    const ours = example
      .replace("namespace: reflow }", `namespace: ${place.instances} }`)
      .replace("[notes, tickets]", "[inside]")
      .replace("kubernetes.io/metadata.name: registries", `kubernetes.io/metadata.name: ${elsewhere}`)
    await kubectl(["apply", "-f", "-"], { input: ours })
    await isReady("inside")
    expect(await say(place, "inside", "alice")).toMatch(/^pid/)
  })
})
