/** A place with targets whose servers are published packages, from registries on the node. */
import { expect } from "vitest"
import { type Package, packageTypes } from "../../../src/api/kinds/package.ts"
import type { Pod } from "../../../src/api/kinds/pod.ts"
import { labels } from "../../../src/api/names.ts"
import { answerOf, callTool, toolText } from "../../support/modern.ts"
import { cluster, kubectl } from "./cluster.ts"
import { ensureImages, images } from "./images.ts"
import { type NpmPackageName, npmPackages } from "./npm-packages.ts"
import { bridge, type Place, secretOf, setCredential, type User, users } from "./stdio-place.ts"

/** Only there is this machine the node, so that Pods reach the registries of a test. */
export const hasRegistries = cluster.origin === "built"
if (!hasRegistries) console.warn("!!! this cluster's nodes are not ours: no registry of packages is played on them !!!")

/** Makes the runner images known. */
export const preparePackages = (): Promise<void> => ensureImages(["gateway", "npm", "pypi", "dice"], cluster)

/** Settings of the operator: the runner images, and where the packages come from. */
export const packageSettings = (registries: { readonly npm: string; readonly pypi?: string }) => ({
  ...bridge,
  ...Object.fromEntries(packageTypes.map((type) => [`kubernetes.packages.${type}.image`, images[type].name])),
  "kubernetes.packages.npm.registry": registries.npm,
  ...(registries.pypi === undefined ? {} : { "kubernetes.packages.pypi.registry": registries.pypi }),
})

/** A package as a target names it. */
export const npmPackage = (short: NpmPackageName, more: Partial<Package> = {}): Package => ({
  registryType: "npm",
  identifier: npmPackages[short].name,
  version: "1.0.0",
  ...more,
})

/** Packages as they are published, all in one version. */
export const published = (shorts: readonly NpmPackageName[], version = "1.0.0") =>
  shorts.map((short) => ({ ...npmPackages[short], version }))

const resources = { requests: { cpu: "10m", memory: "32Mi" }, limits: { cpu: "500m", memory: "256Mi" } }

/** Makes a target whose server is a package that speaks stdin and stdout, unless `more` says otherwise. */
export const makePackageTarget = async (
  { instances: namespace }: Place,
  name: string,
  named: Package,
  more: object = { stdio: {} },
): Promise<void> => {
  const spec = { package: named, credentials: [{ name: "TOKEN" }], resources, ...more }
  const object = { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata: { name, namespace }, spec }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(object) })
  await kubectl(["wait", "--for=condition=Accepted", `mcpt/${name}`, "-n", namespace, "--timeout=30s"])
}

/** Calls a tool of a target as a user. */
export const say = ({ url }: Place, target: string, user: User, tool = "whoami"): Promise<string> =>
  toolText(`${url}/mcp/${target}`, secretOf[user], tool)

/** Calls a target as each user, with a credential of their own. */
export const serveBoth = async (place: Place, target: string): Promise<void> => {
  await Promise.all(users.map((user) => setCredential(place, target, user)))
  const said = await Promise.all(users.map((user) => say(place, target, user)))
  for (const [index, user] of users.entries())
    expect(said[index]).toMatch(new RegExp(`^pid \\d+ token canary-of-${user}$`))
  expect(podsOf(place, target)).toHaveLength(2)
}

/** The Pods of a target. */
export const podsOf = ({ pods }: Place, target: string): readonly Pod[] =>
  [...pods.items()].filter(({ metadata }) => metadata.labels?.[labels.target] === target)

/** What a waiting client heard. */
export type Heard = {
  /** The error; undefined if the server answered. */
  readonly error?: { readonly message: string; readonly data: Readonly<Record<string, unknown>> }
  /** When it heard, milliseconds since the epoch. */
  readonly at: number
}

/** Calls a target whose start may fail. */
export const hear = async ({ url }: Place, target: string, user: User): Promise<Heard> => {
  const { error } = await answerOf(await callTool(`${url}/mcp/${target}`, secretOf[user], "whoami"))
  return { error, at: Date.now() }
}

/** What a target's installer wrote, of all of its Pods. */
export const installerLogs = async (place: Place, target: string): Promise<string> => {
  const names = podsOf(place, target).map(({ metadata }) => metadata.name)
  const logs = names.map((name) => kubectl(["logs", name, "-n", place.instances, "-c", "reflow-package"]))
  return (await Promise.all(logs)).join("\n")
}
