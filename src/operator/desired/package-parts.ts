/** The init container that installs a package, and the volumes through which the server gets it. */
import type { MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Package } from "../../api/kinds/package.ts"
import type { Container } from "../../api/kinds/pod.ts"
import type { Resources } from "../../api/units.ts"
import type { Settings } from "../snapshot.ts"
import { deliveredCommand, installerFile, nodeOf, unexpanded } from "./bridge.ts"
import type { BridgeDelivery } from "./bridge-delivery.ts"
import { bridgeMount } from "./bridge-parts.ts"
import type { LocalPackages } from "./local-packages.ts"
import type { Mount, OwnParts, Volume } from "./own-parts.ts"
import {
  cacheName,
  localFolder,
  packageFolder,
  packageName,
  programLink,
  registryOf,
  registrySecret,
  treeDigest,
  treeFolder,
  usesCache,
} from "./package.ts"
import { largerOf, resourcesOf } from "./resources.ts"

/** Where the installer sees the cache claim. */
const cacheFolder = "/reflow-packages"

/** Name of the volume with the registry's credentials, which only the installer mounts. */
const registryName = "reflow-registry"
const registryFolder = "/reflow-registry"

/** The installer ends this much before the start counts as failed, so that it can tell why, milliseconds. */
const reserveMs = 5_000
/** The least time that an installation gets, milliseconds. */
const leastMs = 5_000

/** Least limit of an installation's memory: npm and uv hold what they unpack. */
const leastMemory = "1Gi"

/**
 * Requests are those of the server, since a Pod is scheduled by the larger of both. The limits are higher, since an
 * installation is short: a package that does not fit needs a higher limit of the server's memory.
 */
const resourcesFor = (spec: MCPInstanceSpec): Resources => {
  const { requests = {}, limits = {} } = resourcesOf(spec.resources)
  const raised = { cpu: largerOf(limits.cpu ?? "0", "2"), memory: largerOf(limits.memory ?? "0", leastMemory) }
  // a request that is absent equals its limit in Kubernetes: that of the server, not the raised one
  return { requests: { ...limits, ...requests }, limits: { ...limits, ...raised } }
}

/** What the installation of a package depends on. */
export type InstallInput = {
  readonly spec: MCPInstanceSpec
  readonly settings: Settings
  readonly delivery: BridgeDelivery
  /** Name of the Pod. */
  readonly podName: string
  /** How long a start may take, milliseconds. */
  readonly startMs: number
}

/** Where the tree is installed: as the installer sees it, and as the server does if that is elsewhere. */
const treeFlags = (named: Package, settings: Settings, isCached: boolean): string[] => {
  const { localPackages } = settings
  if (localPackages !== undefined) return ["--folder", localFolder(named, settings, localPackages)]
  const scratch = ["--scratch", `${packageFolder}/scratch`]
  if (!isCached) return ["--folder", `${packageFolder}/tree`, ...scratch]
  return ["--folder", `${cacheFolder}/trees/${treeDigest(named, settings)}`, "--seen-as", treeFolder, ...scratch]
}

/** A flag with its value; nothing without a value. */
const flag = (name: string, value: string | undefined): string[] =>
  value === undefined || value === "" ? [] : [`--${name}`, value]

/** The file with the installer's report on the embedded cluster, where Pods share a file system. */
const reportFile = ({ folder }: LocalPackages, podName: string): string => `${folder}/reports/${podName}`

const argsOf = ({ spec, settings, podName, startMs }: InstallInput, named: Package, isCached: boolean): string[] => {
  const { localPackages } = settings
  return [
    ...["--role", "install", "--type", named.registryType],
    ...["--name", named.identifier, "--version", named.version],
    ...flag("before", named.before),
    ...flag("registry", registryOf(named, settings)),
    ...flag("registry-secret-folder", mayHaveSecret(spec, settings) ? registryFolder : undefined),
    ...flag("bin", named.bin),
    ...(named.allowScripts === true ? ["--allow-scripts"] : []),
    ...treeFlags(named, settings, isCached),
    ...["--link", programLink(named, settings)],
    ...["--timeout", `${Math.max(leastMs, startMs - reserveMs)}ms`],
    ...flag("message-file", localPackages && reportFile(localPackages, podName)),
  ].map(unexpanded)
}

/** True if the Pod gets a Secret of the registry; the embedded cluster uses the user's own configuration. */
const mayHaveSecret = ({ package: named }: MCPInstanceSpec, settings: Settings): boolean =>
  named !== undefined && settings.localPackages === undefined && registrySecret(named, settings) !== undefined

/** Volumes of the Pod, and who mounts them. */
type Places = { readonly volumes: Volume[]; readonly ofInstaller: Mount[]; readonly ofServer: Mount[] }

const cachePlaces = (named: Package, settings: Settings): Places => ({
  volumes: [{ name: cacheName, persistentVolumeClaim: { claimName: settings.packages.cache_claim } }],
  ofInstaller: [{ name: cacheName, mountPath: cacheFolder }],
  // only its own tree, and read-only: what one server can change, or read, must not concern another one
  ofServer: [
    { name: cacheName, mountPath: treeFolder, subPath: `trees/${treeDigest(named, settings)}`, readOnly: true },
  ],
})

const secretPlaces = (secretName: string): Places => ({
  // optional, since the installer tells of an absent Secret at once, and the kubelet would only wait for it
  volumes: [{ name: registryName, secret: { secretName, optional: true, defaultMode: 0o440 } }],
  ofInstaller: [{ name: registryName, mountPath: registryFolder, readOnly: true }],
  ofServer: [],
})

const ownPlaces: Places = {
  volumes: [{ name: packageName, emptyDir: {} }],
  ofInstaller: [{ name: packageName, mountPath: packageFolder }],
  ofServer: [{ name: packageName, mountPath: packageFolder, readOnly: true }],
}

const placesOf = (named: Package, settings: Settings, isCached: boolean): Places => {
  if (settings.localPackages !== undefined) return { volumes: [], ofInstaller: [], ofServer: [] }
  const secret = registrySecret(named, settings)
  const all = [
    ownPlaces,
    ...(isCached ? [cachePlaces(named, settings)] : []),
    ...(secret === undefined ? [] : [secretPlaces(secret)]),
  ]
  return {
    volumes: all.flatMap(({ volumes }) => volumes),
    ofInstaller: all.flatMap(({ ofInstaller }) => ofInstaller),
    ofServer: all.flatMap(({ ofServer }) => ofServer),
  }
}

const installer = (input: InstallInput, named: Package, isCached: boolean, mounts: readonly Mount[]): Container => {
  const { settings, delivery, spec, podName } = input
  const { localPackages: local } = settings
  const bridge = delivery.kind === "Local" ? [] : [bridgeMount]
  const env = Object.entries(local?.environment ?? {}).map(([name, value]) => ({ name, value: unexpanded(value) }))
  return {
    name: packageName,
    image: settings.packages[named.registryType].image,
    imagePullPolicy: spec.imagePullPolicy ?? "IfNotPresent",
    command: deliveredCommand(delivery, {
      file: installerFile,
      node: nodeOf(spec) ?? "node",
      local: local?.command ?? [],
    }),
    args: argsOf(input, named, isCached),
    ...(env.length === 0 ? {} : { env }),
    volumeMounts: [...bridge, ...mounts],
    resources: resourcesFor(spec),
    ...(local === undefined ? {} : { terminationMessagePath: reportFile(local, podName) }),
  }
}

/**
 * The parts that install a package and give it to the server; undefined for a server without package. The installer has
 * no variable of the target and no credential of a user. With allowScripts the cache claim is not mounted: a script could
 * change other packages there.
 */
export const packageParts = (input: InstallInput): OwnParts | undefined => {
  const { spec, settings } = input
  const { package: named } = spec
  if (named === undefined) return undefined
  const isCached = usesCache(spec, settings)
  const { volumes, ofInstaller, ofServer } = placesOf(named, settings, isCached)
  return { volumes, mounts: ofServer, initContainers: [installer(input, named, isCached, ofInstaller)] }
}
