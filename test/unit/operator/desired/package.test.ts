import { describe, expect, test } from "vitest"
import type { MCPInstance, MCPInstanceSpec } from "../../../../src/api/kinds/mcp-instance.ts"
import type { Package } from "../../../../src/api/kinds/package.ts"
import type { Container, Pod } from "../../../../src/api/kinds/pod.ts"
import { configSchema } from "../../../../src/config/schema.ts"
import type { BridgeDelivery } from "../../../../src/operator/desired/bridge-delivery.ts"
import { treeDigest } from "../../../../src/operator/desired/package.ts"
import { desiredPod, inputsHash } from "../../../../src/operator/desired/pod.ts"
import type { Settings } from "../../../../src/operator/snapshot.ts"
import { aSupply } from "../../../support/build/bridge.ts"
import { anNpmPackage, aPackageInstance, aPythonPackage } from "../../../support/build/package.ts"
import { someSettings } from "../../../support/build/settings.ts"

const file: BridgeDelivery = { kind: "ConfigMap", name: "file" }

/** Settings with this `kubernetes.packages`. */
const withPackages = (packages: object, delivery: BridgeDelivery = file): Settings =>
  someSettings({
    packages: configSchema.parse({ kubernetes: { packages } }).kubernetes.packages,
    bridge: aSupply(delivery, { pullSecrets: ["bridge-pull"] }),
  })

const render = (instance: MCPInstance, settings: Settings = withPackages({})) => {
  const pod = desiredPod({ instance, name: "pod-1", settings })
  const [server] = pod.spec.containers
  const installer = pod.spec.initContainers?.find(({ name }) => name === "reflow-package")
  return { pod, server: server as Container, installer: installer as Container }
}

const lineOf = ({ command = [], args = [] }: Container): string => [...command, ...args].join(" ")

const flagOf = (container: Container, name: string): string | undefined => {
  const args = container.args ?? []
  const at = args.indexOf(`--${name}`)
  return at < 0 ? undefined : args[at + 1]
}

const mountsOf = ({ volumeMounts = [] }: Container) => Object.fromEntries(volumeMounts.map((each) => [each.name, each]))

describe("the Pod of a package", () => {
  test("installs an npm package by the installer's file on the runner's Node, then runs its program behind the bridge", () => {
    const { server, installer } = render(aPackageInstance(anNpmPackage, { args: ["--verbose"] }))
    expect(installer.image).toBe("node:24-slim")
    expect(server.image).toBe("node:24-slim")
    expect(lineOf(installer)).toMatch(
      /^node \/reflow-bridge\/install\.mjs --role install --type npm --name @example\/notes --version 1\.2\.3 /,
    )
    expect(lineOf(server)).toMatch(/^node \/reflow-bridge\/bridge\.mjs .* -- node \/reflow-package\/bin --verbose$/)
  })

  test("installs a Python package by the whole program, since its runner may have no Node", () => {
    const { server, installer } = render(
      aPackageInstance(aPythonPackage),
      withPackages({}, { kind: "ImageVolume", image: "reflow:1" }),
    )
    expect(lineOf(installer)).toMatch(/^\/reflow-bridge\/bridge\/loader .*\/reflow --role install --type pypi /)
    expect(lineOf(server)).toMatch(/ -- python3 \/reflow-package\/bin$/)
    expect(mountsOf(installer)).toHaveProperty("reflow-bridge")
  })

  test("runs the installer on the Node that the target names, if it names one", () => {
    const { installer } = render(aPackageInstance(aPythonPackage, { stdio: { node: "/opt/node/bin/node" } }))
    expect(lineOf(installer)).toMatch(/^\/opt\/node\/bin\/node \/reflow-bridge\/install\.mjs /)
  })

  test("copies the program first where images are no volumes, and then installs", () => {
    const { pod } = render(aPackageInstance(aPythonPackage), withPackages({}, { kind: "Copy", image: "reflow:1" }))
    expect(pod.spec.initContainers?.map(({ name }) => name)).toEqual(["reflow-bridge", "reflow-package"])
  })

  test("runs a package that speaks HTTP without the bridge, and with the time and processes of a plain server", () => {
    const instance = aPackageInstance(anNpmPackage, { port: 9000 })
    const { stdio: _none, ...spec } = instance.spec
    const { pod, server } = render({ ...instance, spec })
    expect(lineOf(server)).toBe("node /reflow-package/bin")
    expect(pod.spec.shareProcessNamespace).toBeUndefined()
    expect(pod.spec.terminationGracePeriodSeconds).toBe(12)
  })

  test("lets the bridge know where the installer leaves a hint for whoever sees the server fail", () => {
    expect(flagOf(render(aPackageInstance()).server, "hint-file")).toBe("/reflow-package/bin.hint")
  })

  test("gives the installer no variable and no Secret of the target or of the user", () => {
    const { installer, server } = render(
      aPackageInstance(anNpmPackage, { secretName: "alice", env: [{ name: "REGION", value: "eu" }] }),
    )
    expect(server.envFrom).toEqual([{ secretRef: { name: "alice" } }])
    expect(installer).not.toHaveProperty("env")
    expect(installer).not.toHaveProperty("envFrom")
    expect(JSON.stringify(installer)).not.toContain("alice")
  })

  test("has the floor of every container: no privileges, a read-only root, a report that only the installer writes", () => {
    const { installer, server } = render(aPackageInstance())
    expect(installer.securityContext).toEqual(server.securityContext)
    expect(installer.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    expect(installer.terminationMessagePolicy).toBe("File")
    expect(installer.terminationMessagePath).toBe("/dev/termination-log")
  })

  test("lets the server see what was installed, and not change it", () => {
    const { installer, server } = render(aPackageInstance())
    expect(mountsOf(server)["reflow-package"]).toEqual({
      name: "reflow-package",
      mountPath: "/reflow-package",
      readOnly: true,
    })
    expect(mountsOf(installer)["reflow-package"]).toEqual({ name: "reflow-package", mountPath: "/reflow-package" })
  })

  test("asks for no more than its server, and may use more memory for a while", () => {
    const { installer, server } = render(aPackageInstance())
    expect(installer.resources).toEqual({
      requests: (server.resources as { readonly requests: object }).requests,
      limits: { cpu: "2", memory: "1Gi" },
    })
    const small = { limits: { memory: "100Mi", cpu: "50m" } }
    expect(render(aPackageInstance(anNpmPackage, { resources: small })).installer.resources).toEqual({
      requests: small.limits,
      limits: { cpu: "2", memory: "1Gi" },
    })
    const large = { limits: { memory: "4Gi", "example.com/gpu": "1" } }
    expect(render(aPackageInstance(anNpmPackage, { resources: large })).installer.resources).toMatchObject({
      limits: { cpu: "2", memory: "4Gi", "example.com/gpu": "1" },
    })
  })

  test("ends an installation before its start counts as failed", () => {
    expect(flagOf(render(aPackageInstance(anNpmPackage, { startTimeout: "60s" })).installer, "timeout")).toBe("55000ms")
    expect(flagOf(render(aPackageInstance(anNpmPackage, { startTimeout: "10s" })).installer, "timeout")).toBe("5000ms")
  })

  test("gives the installer what the target says of the package", () => {
    const named: Package = { ...anNpmPackage, before: "2026-11-01", bin: "notes", allowScripts: true }
    const { installer } = render(aPackageInstance({ ...named, registryBaseUrl: "https://npm.example.com" }))
    expect(lineOf(installer)).toContain(
      "--before 2026-11-01 --registry https://npm.example.com --bin notes --allow-scripts",
    )
  })

  test("is another one when the package changes, and the same without one", () => {
    const other = aPackageInstance({ ...anNpmPackage, version: "1.2.4" })
    expect(inputsHash(other)).not.toBe(inputsHash(aPackageInstance()))
    const { package: _none, ...spec } = aPackageInstance().spec
    const plain = { ...aPackageInstance(), spec: { ...spec, image: "files:1" } as MCPInstanceSpec }
    expect(inputsHash(plain)).not.toBe(inputsHash(aPackageInstance()))
  })

  test("its parts need no permission, but what a template changes in them does", () => {
    const settings = withPackages({ cache_claim: "packages", npm: { secret: "npm" } })
    const instance = aPackageInstance(anNpmPackage, { podTemplates: [{ name: "x" }] })
    const taking = (change: (pod: Pod) => Pod) => () =>
      desiredPod({ instance, name: "x", settings: { ...settings, template: change } })
    expect(taking((pod) => pod)).not.toThrow()
    const privileged = (pod: Pod): Pod => ({
      ...pod,
      spec: {
        ...pod.spec,
        initContainers: (pod.spec.initContainers ?? []).map((each) => ({
          ...each,
          securityContext: { privileged: true },
        })),
      },
    })
    expect(taking(privileged)).toThrow(expect.objectContaining({ code: "PluginFailed" }))
  })
})

describe("the cache claim", () => {
  const cached = withPackages({ cache_claim: "packages" })

  test("is mounted whole by the installer, and by the server only its own tree, read-only", () => {
    const { pod, installer, server } = render(aPackageInstance(), cached)
    const tree = `trees/${treeDigest(anNpmPackage, cached)}`
    expect(pod.spec.volumes).toContainEqual({
      name: "reflow-packages",
      persistentVolumeClaim: { claimName: "packages" },
    })
    expect(flagOf(installer, "folder")).toBe(`/reflow-packages/${tree}`)
    expect(flagOf(installer, "seen-as")).toBe("/reflow-package-tree")
    expect(flagOf(installer, "link")).toBe("/reflow-package/bin")
    // else the kubelet walks through all files of the claim before each start
    expect(pod.spec.securityContext).toMatchObject({ fsGroupChangePolicy: "OnRootMismatch" })
    expect(render(aPackageInstance()).pod.spec.securityContext).not.toHaveProperty("fsGroupChangePolicy")
    expect(mountsOf(server)["reflow-packages"]).toEqual({
      name: "reflow-packages",
      mountPath: "/reflow-package-tree",
      subPath: tree,
      readOnly: true,
    })
  })

  test("is not mounted where install scripts run: one of them could change other packages", () => {
    const { pod, installer } = render(aPackageInstance({ ...anNpmPackage, allowScripts: true }), cached)
    expect(JSON.stringify(pod.spec.volumes)).not.toContain("persistentVolumeClaim")
    expect(flagOf(installer, "folder")).toBe("/reflow-package/tree")
  })

  test.each([{ runAsUser: 1000 }, { runAsGroup: 1000 }, { fsGroup: 1000 }])(
    "is not mounted by a Pod with %j: others could not write into the folders that it makes",
    (security) => {
      const { pod } = render(aPackageInstance(anNpmPackage, { security }), cached)
      expect(JSON.stringify(pod.spec.volumes)).not.toContain("persistentVolumeClaim")
    },
  )

  test("is mounted by a Pod that names the usual user", () => {
    const { pod } = render(aPackageInstance(anNpmPackage, { security: { runAsUser: 65_532 } }), cached)
    expect(JSON.stringify(pod.spec.volumes)).toContain("persistentVolumeClaim")
  })

  test.each<[string, Partial<Package>, object]>([
    ["version", { version: "1.2.4" }, {}],
    ["name", { identifier: "other" }, {}],
    ["kind of registry", { registryType: "pypi" }, {}],
    ["day", { before: "2026-11-01" }, {}],
    ["program", { bin: "other" }, {}],
    ["registry", { registryBaseUrl: "https://npm.example.com" }, {}],
    ["Secret of the registry", {}, { npm: { secret: "npm" } }],
    ["runner image", {}, { npm: { image: "node:26" } }],
    ["permission of scripts", { allowScripts: true }, {}],
  ])("has another tree for another %s", (_, change, packages) => {
    const settings = withPackages({ cache_claim: "packages", ...packages })
    expect(treeDigest({ ...anNpmPackage, ...change }, settings)).not.toBe(treeDigest(anNpmPackage, cached))
  })

  test("has one tree for both spellings of one URL", () => {
    const of = (url: string) => treeDigest({ ...anNpmPackage, registryBaseUrl: url }, cached)
    expect(of("https://npm.example.com/")).toBe(of("https://npm.example.com"))
  })
})

describe("the credentials of a registry", () => {
  const secretOf = (packages: object, named: Package = anNpmPackage) => {
    const { pod, installer, server } = render(aPackageInstance(named), withPackages(packages))
    const volume = pod.spec.volumes?.find(({ name }) => name === "reflow-registry") as
      | { readonly secret?: { readonly secretName?: string } }
      | undefined
    return { name: volume?.secret?.secretName, installer, server }
  }

  test("are files of the installer alone", () => {
    const { name, installer, server } = secretOf({ npm: { registry: "https://npm.example.com", secret: "npm" } })
    expect(name).toBe("npm")
    expect(flagOf(installer, "registry-secret-folder")).toBe("/reflow-registry")
    expect(mountsOf(installer)["reflow-registry"]).toMatchObject({ mountPath: "/reflow-registry", readOnly: true })
    expect(mountsOf(server)).not.toHaveProperty("reflow-registry")
  })

  const mirror = "https://mirror.example.com/npm"
  const registries = [{ url: `${mirror}/`, secret: "mirror" }]

  test("are those that the configuration names for the target's registry", () => {
    expect(secretOf({ registries }, { ...anNpmPackage, registryBaseUrl: mirror }).name).toBe("mirror")
  })

  test("go to no registry that the configuration does not name", () => {
    const evil = { ...anNpmPackage, registryBaseUrl: "https://evil.example.com" }
    const { name, installer } = secretOf({ npm: { secret: "npm" }, registries }, evil)
    expect(name).toBeUndefined()
    expect(lineOf(installer)).not.toContain("secret")
  })
})

describe("on the embedded cluster", () => {
  const local = { command: ["/bin/install"], folder: "/home/me/$(A)/packages", environment: { HTTPS_PROXY: "$(B)" } }
  const settings = {
    ...withPackages({ cache_claim: "packages", npm: { secret: "npm" } }),
    bridge: aSupply({ kind: "Local", command: ["/bin/bridge"] }),
    embedded: true,
    localPackages: local,
  }

  test("a package is installed by a process of this machine into the user's folder", () => {
    const { pod, installer, server } = render(aPackageInstance(), settings)
    const folder = `/home/me/$$(A)/packages/${treeDigest(anNpmPackage, settings)}`
    expect(lineOf(installer)).toMatch(/^\/bin\/install --role install --type npm /)
    expect(flagOf(installer, "folder")).toBe(folder)
    expect(flagOf(installer, "link")).toBe(`${folder}/bin`)
    expect(flagOf(installer, "message-file")).toBe("/home/me/$$(A)/packages/reports/pod-1")
    expect(installer.terminationMessagePath).toBe("/home/me/$(A)/packages/reports/pod-1")
    expect(installer.env).toEqual([{ name: "HTTPS_PROXY", value: "$$(B)" }])
    expect(lineOf(server)).toMatch(new RegExp(`^/bin/bridge .* -- node ${folder.replace(/[$()]/g, "\\$&")}/bin$`))
    expect(pod.spec.volumes).toEqual([{ name: "tmp", emptyDir: {} }])
  })

  test("npm and uv keep their own caches, and no Secret is read", () => {
    const { installer } = render(aPackageInstance(), settings)
    expect(lineOf(installer)).not.toMatch(/--scratch|--registry-secret-folder/)
  })
})
