import { describe, expect, test } from "vitest"
import type { Pod } from "../../../../src/api/kinds/pod.ts"
import type { BridgeDelivery, BridgeSupply } from "../../../../src/operator/desired/bridge-delivery.ts"
import { desiredPod, inputsHash } from "../../../../src/operator/desired/pod.ts"
import type { Settings } from "../../../../src/operator/snapshot.ts"
import { aStdioInstance, aSupply } from "../../../support/build/bridge.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { someSettings } from "../../../support/build/settings.ts"

const image = "registry.example/reflow:1"

const render = (delivery: BridgeDelivery | undefined, spec: object = {}, more: Partial<Settings> = {}) => {
  const instance = { ...aStdioInstance, spec: { ...aStdioInstance.spec, ...spec } }
  const settings = someSettings({ bridge: aSupply(delivery), ...more })
  const pod = desiredPod({ instance, name: "x", settings })
  const [container] = pod.spec.containers
  return { pod, container, line: [...(container?.command ?? []), ...(container?.args ?? [])] }
}

describe("the Pod of a stdio server", () => {
  test("runs the bridge's file on the image's Node, from a ConfigMap", () => {
    const { pod, container, line } = render({ kind: "ConfigMap", name: "file" }, { stdio: { node: "/bin/node" } })
    expect(line.slice(0, 2)).toEqual(["/bin/node", "/reflow-bridge/bridge.mjs"])
    expect(pod.spec.volumes).toContainEqual({ name: "reflow-bridge", configMap: { name: "file", defaultMode: 0o444 } })
    expect(container?.volumeMounts).toContainEqual({
      name: "reflow-bridge",
      mountPath: "/reflow-bridge",
      readOnly: true,
    })
    expect(pod.metadata.annotations).toMatchObject({ "mcp.reflow.io/bridge": "ConfigMap" })
  })

  test("names the Node as it is: a `$(NAME)` in it is not expanded", () => {
    expect(render({ kind: "ConfigMap", name: "file" }, { stdio: { node: "/$(A)/node" } }).line[0]).toBe("/$$(A)/node")
  })

  test("runs the executable by its own loader, from an image volume", () => {
    const { pod, line } = render({ kind: "ImageVolume", image })
    const folder = "/reflow-bridge/bridge"
    expect(line.slice(0, 4)).toEqual([`${folder}/loader`, "--library-path", `${folder}/lib`, `${folder}/reflow`])
    const volume = { name: "reflow-bridge", image: { reference: image, pullPolicy: "IfNotPresent" } }
    expect(pod.spec.volumes).toContainEqual(volume)
    expect(pod.spec.initContainers).toBeUndefined()
  })

  test("gets a copy by an init container, which sees no credential and has the same security", () => {
    const { pod, line } = render({ kind: "Copy", image })
    expect(line[0]).toBe("/reflow-bridge/loader")
    const [copier, ...others] = pod.spec.initContainers ?? []
    expect(others).toEqual([])
    expect(copier).toMatchObject({ image, args: ["--role", "bridge", "--install", "/reflow-bridge"] })
    expect(copier).not.toHaveProperty("envFrom")
    expect(copier?.securityContext).toMatchObject({ readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } })
  })

  test("passes the server's command, its limits and its path to the bridge", () => {
    const stdio = { processes: "shared", maxProcesses: 3, idleTTL: "5m" } as const
    const spec = { command: ["server"], args: ["--key=$(KEY)"], path: "/a$b", stdio, port: 9000, startTimeout: "30s" }
    const { container, line } = render({ kind: "ImageVolume", image }, spec)
    const words = line.join(" ")
    expect(words).toContain("--listen *:9000 --path /a$$b --processes shared --max-processes 3 --idle-ttl 300000ms")
    expect(words).toMatch(/--start-timeout 30000ms .*-- server --key=\$\(KEY\)$/)
    expect(container?.env).toContainEqual({ name: "PORT", value: "9000" })
    expect(container?.startupProbe).toMatchObject({ tcpSocket: { port: 9000 } })
  })

  test("listens on 8080 if the spec names no port, and its sessions are idle as long as its instance may be", () => {
    const { line, container } = render({ kind: "ImageVolume", image }, { port: undefined, idleTTL: "7m" })
    expect(container?.ports).toEqual([{ name: "mcp", containerPort: 8080, protocol: "TCP" }])
    expect(line.join(" ")).toContain("--max-processes 8 --idle-ttl 420000ms")
  })

  test("has sessions that are idle for kubernetes.idle_ttl at most, if neither target nor spec names a time", () => {
    const { line } = render({ kind: "ImageVolume", image }, { stdio: {}, idleTTL: undefined }, { idle_ttl: 123_000 })
    expect(line.join(" ")).toContain("--idle-ttl 123000ms")
    const own = render({ kind: "ImageVolume", image }, { stdio: { idleTTL: "5m" }, idleTTL: "7m" }).line
    expect(own.join(" ")).toContain("--idle-ttl 300000ms")
  })

  test("on the embedded cluster listens on this machine only, at the node's port, and guards its processes", () => {
    const local = { kind: "Local", command: ["/bin/reflow"] } as const
    const { pod, line } = render(local, { port: 9000 }, { embedded: true })
    expect(line.slice(0, 5)).toEqual(["/bin/reflow", "--role", "bridge", "--listen", "127.0.0.1:$(PORT)"])
    expect(line.slice(0, line.indexOf("--"))).toContain("--guard")
    expect(pod.spec.volumes).toEqual([{ name: "tmp", emptyDir: {} }])
    expect(pod.spec.initContainers).toBeUndefined()
    expect(pod.metadata.annotations).toMatchObject({ "mcp.reflow.io/bridge": "Local" })
  })

  test("on a cluster listens on all addresses, and leaves its processes to the container", () => {
    const { line } = render({ kind: "ImageVolume", image }, { port: 9000 })
    expect(line.join(" ")).toContain("--role bridge --listen *:9000 ")
    expect(line).not.toContain("--guard")
  })

  test.each<BridgeDelivery>([
    { kind: "ConfigMap", name: "file" },
    { kind: "ImageVolume", image },
    { kind: "Copy", image },
  ])("has two seconds more than others to end, since the bridge ends its server in two steps: %o", (delivery) => {
    const graceOf = (pod: Pod) => pod.spec.terminationGracePeriodSeconds
    const http = desiredPod({ instance: anInstance(), name: "x", settings: someSettings() })
    expect(graceOf(render(delivery).pod)).toBe((graceOf(http) ?? Number.NaN) + 2)
  })

  test("names a Secret once that both target and bridge pull with", () => {
    const bridge = aSupply({ kind: "ImageVolume", image }, { pullSecrets: ["both", "registry"] })
    const { pod } = render(undefined, { imagePullSecrets: ["own", "both"] }, { bridge })
    expect(pod.spec.imagePullSecrets).toEqual([{ name: "own" }, { name: "both" }, { name: "registry" }])
  })

  test("shows last lines only where the subject key is that of one user", () => {
    const flags = (subjectKey: string) => render({ kind: "ImageVolume", image }, { subjectKey }).line
    expect(flags("user:abc")).toContain("--single-user")
    for (const key of ["shared", "group:abc", "role:abc", "tenant-1"]) expect(flags(key)).not.toContain("--single-user")
  })

  test("shares its processes unless that is turned off, and pulls with the bridge's Secrets too", () => {
    const shared = aSupply({ kind: "ImageVolume", image }, { pullSecrets: ["registry"] })
    const { pod } = render(undefined, { imagePullSecrets: ["own"] }, { bridge: shared })
    expect(pod.spec.shareProcessNamespace).toBe(true)
    expect(pod.spec.imagePullSecrets).toEqual([{ name: "own" }, { name: "registry" }])
    const apart = aSupply({ kind: "ImageVolume", image }, { shareProcesses: false })
    expect(render(undefined, {}, { bridge: apart }).pod.spec.shareProcessNamespace).toBeUndefined()
  })
})

describe("what the operator puts into the Pod", () => {
  const templated = (change: (pod: ReturnType<typeof desiredPod>) => ReturnType<typeof desiredPod>) => () =>
    render({ kind: "Copy", image }, { podTemplates: [{ name: "mine" }] }, { template: change })

  test("needs no permission of a pod template", () => {
    expect(templated((pod) => pod)).not.toThrow()
  })

  test("needs none for the Secrets of the bridge's registry either, or if a template writes it anew", () => {
    const bridge = aSupply({ kind: "ConfigMap", name: "file" }, { pullSecrets: ["registry"] })
    const anew = (pod: ReturnType<typeof desiredPod>) => ({
      ...pod,
      spec: {
        ...pod.spec,
        volumes: (pod.spec.volumes ?? []).map((each) => Object.fromEntries(Object.entries(each).reverse())) as never,
      },
    })
    const render2 = () => render(undefined, { podTemplates: [{ name: "mine" }] }, { bridge, template: anew })
    expect(render2).not.toThrow()
    expect(render2().pod.spec.imagePullSecrets).toEqual([{ name: "registry" }])
  })

  /** Makes the Pod of a supply with what a template sets in its spec. */
  const setting = (change: (spec: Pod["spec"]) => object, supply: BridgeSupply) => () =>
    render(
      undefined,
      { podTemplates: [{ name: "mine" }] },
      { bridge: supply, template: (pod) => ({ ...pod, spec: { ...pod.spec, ...change(pod.spec) } }) },
    )
  const mounted = aSupply({ kind: "ImageVolume", image }, { pullSecrets: ["registry"] })
  const apart = aSupply({ kind: "ImageVolume", image }, { shareProcesses: false })

  test("lets no template share the processes where the operator does not", () => {
    const share = () => ({ shareProcessNamespace: true })
    expect(setting(share, apart)).toThrow(/hostPID/)
    expect(setting(share, mounted)).not.toThrow()
  })

  test("lets no template pull with a Secret that is neither the target's nor the bridge's", () => {
    const pull = (name: string) => (spec: Pod["spec"]) => ({
      imagePullSecrets: [...(spec.imagePullSecrets ?? []), { name }],
    })
    expect(setting(pull("bobs"), mounted)).toThrow(/otherSecrets/)
    expect(setting(pull("registry"), mounted)).not.toThrow()
    expect(setting(pull("registry"), apart)).toThrow(/otherSecrets/)
  })

  test("lets no template mount in another way what needs a permission", () => {
    const mounting = (more: object) => (spec: Pod["spec"]) => ({
      containers: spec.containers.map((each) => ({ ...each, volumeMounts: [...(each.volumeMounts ?? []), more] })),
    })
    const bridge = { name: "reflow-bridge", mountPath: "/other", readOnly: true }
    expect(setting(mounting({ ...bridge, subPathExpr: "$(KEY)" }), mounted)).toThrow(/otherVolumes/)
    expect(setting(mounting({ ...bridge, mountPropagation: "Bidirectional" }), mounted)).toThrow(/privileged/)
  })

  test.each([
    ["a folder of the node", { hostPath: { path: "/" } }, /hostPath/],
    ["another Secret", { secret: { secretName: "bobs" } }, /otherSecrets/],
    ["another image", { image: { reference: "evil", pullPolicy: "IfNotPresent" } }, /otherVolumes/],
  ])("lets no template put %s in the place of the bridge's volume", (_, source, permission) => {
    const replace = (spec: Pod["spec"]) => ({
      volumes: (spec.volumes ?? []).map((each) =>
        each.name === "reflow-bridge" ? { name: each.name, ...source } : each,
      ),
    })
    expect(setting(replace, mounted)).toThrow(permission)
  })

  test.each<[string, (spec: Pod["spec"]) => object]>([
    ["mounts", ({ containers }) => ({ containers: containers.map((each) => ({ ...each, volumeMounts: "all" })) })],
    ["volumes", () => ({ volumes: "all" })],
    ["Secrets", () => ({ imagePullSecrets: [null] })],
  ])("does not hide that a template made no list of %s", (_, change) => {
    expect(setting(change, mounted)).toThrow(expect.objectContaining({ code: "PluginFailed" }))
  })

  test("gives a template no permission for the same of its own", () => {
    const more = { name: "reflow-bridge-2", image, args: [] }
    const withInit = templated((pod) => ({
      ...pod,
      spec: { ...pod.spec, initContainers: [...(pod.spec.initContainers ?? []), more] },
    }))
    expect(withInit).toThrow(/otherContainers/)
    const changed = templated((pod) => ({
      ...pod,
      spec: {
        ...pod.spec,
        initContainers: (pod.spec.initContainers ?? []).map((each) => ({ ...each, image: "evil" })),
      },
    }))
    expect(changed).toThrow(/otherContainers/)
  })
})

describe("the hash of a Pod's inputs", () => {
  const hash = (spec: object) => inputsHash(anInstance({ spec }))

  test("changes with what the bridge gets from the spec", () => {
    const base = { command: ["a"], stdio: {} }
    expect(hash({ ...base, path: "/other" })).not.toBe(hash(base))
    expect(hash({ ...base, stdio: { processes: "shared" } })).not.toBe(hash(base))
  })

  test("does not change with the path of a server that speaks HTTP", () => {
    expect(hash({ path: "/other" })).toBe(hash({}))
  })
})
