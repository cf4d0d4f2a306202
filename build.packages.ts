/**
 * The bill of materials (CycloneDX) and the licences of the program, for build.config.ts. The list of packages comes
 * from the bundle and package-lock.json: in package.json all packages are devDependencies, since the bundle contains
 * what it needs.
 */
import { createHash } from "node:crypto"

/** The entry of a package in package-lock.json, with only the fields that are read. */
export type LockEntry = {
  readonly version?: string
  readonly license?: string
  /** `ALGORITHM-BASE64` of its archive. */
  readonly integrity?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** package-lock.json: entries by their folder, e.g. `node_modules/zod`. */
export type Lockfile = { readonly packages: Readonly<Record<string, LockEntry>> }

/** A package that the bundle contains. */
export type Part = {
  /** Its folder, from the repository's root. */
  readonly folder: string
  readonly name: string
  readonly version: string
  /** SPDX license expression, e.g. `MIT`. */
  readonly license: string
  /** SHA-512 of its archive in hex. */
  readonly sha512: string
  /** Folders of the bundled packages that it depends on. */
  readonly needs: readonly string[]
}

/** Name, version and licence of the program, from package.json. */
export type Product = { readonly name: string; readonly version: string; readonly license: string }

/** Versions of Node and of the libraries in it: `process.versions`. */
export type RuntimeVersions = Readonly<Record<string, string | undefined>>

/** The folder of the package that a file belongs to; undefined for our own files. */
const folderOf = (path: string): string | undefined => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]

/** The folder of a dependency by Node's resolution: in the folder of the package `from`, else in one above it. */
const resolveFolder = (from: string, name: string, known: ReadonlySet<string>): string | undefined => {
  const levels = from.split("/node_modules/")
  const above = levels.map((_, index) => levels.slice(0, levels.length - index).join("/node_modules/"))
  return [...above.map((folder) => `${folder}/node_modules/${name}`), `node_modules/${name}`].find((folder) =>
    known.has(folder),
  )
}

const toPart = (folder: string, { packages }: Lockfile, known: ReadonlySet<string>): Part => {
  const entry = packages[folder]
  const { version, license, integrity } = entry ?? {}
  const [algorithm, digest = ""] = integrity?.split("-") ?? []
  if (entry === undefined || version === undefined || license === undefined || algorithm !== "sha512")
    throw new Error(`package-lock.json has no version, license or sha512 of ${folder}`)
  const asked = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies }
  const needs = Object.keys(asked).flatMap((name) => resolveFolder(folder, name, known) ?? [])
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length)
  return { folder, name, version, license, sha512: Buffer.from(digest, "base64").toString("hex"), needs: needs.sort() }
}

/**
 * The packages of a bundle, sorted by name. Throws an Error if package-lock.json lacks data of one.
 *
 * @param inputs Paths of the bundled files, relative to the repository's root, as in esbuild's metafile.
 */
export const partsOf = (inputs: Iterable<string>, lockfile: Lockfile): readonly Part[] => {
  const folders = new Set([...inputs].flatMap((path) => folderOf(path) ?? []))
  const order = (a: Part, b: Part) => (a.name < b.name || (a.name === b.name && a.folder < b.folder) ? -1 : 1)
  return [...folders].map((folder) => toPart(folder, lockfile, folders)).sort(order)
}

const purl = ({ name, version }: { readonly name: string; readonly version: string }): string =>
  `pkg:npm/${name.replace("@", "%40")}@${version}`

const toComponent = (part: Part) => ({
  type: "library",
  "bom-ref": part.folder,
  name: part.name,
  version: part.version,
  purl: purl(part),
  hashes: [{ alg: "SHA-512", content: part.sha512 }],
  licenses: /[ ()]/.test(part.license) ? [{ expression: part.license }] : [{ license: { id: part.license } }],
})

/** Node and the libraries in it, as components. Libraries inside those libraries are not listed. */
const toRuntime = ({ node = "", ...libraries }: RuntimeVersions) => ({
  type: "platform",
  "bom-ref": "node",
  name: "node",
  version: node,
  purl: `pkg:generic/node@${node}`,
  cpe: `cpe:2.3:a:nodejs:node.js:${node}:*:*:*:*:*:*:*`,
  components: Object.entries(libraries)
    // without ABI versions, and without libraries that this build of Node does not have
    .filter(([name, version]) => version && name !== "modules" && name !== "napi")
    .map(([name, version = ""]) => ({
      type: "library",
      "bom-ref": `node/${name}`,
      name,
      version,
      purl: `pkg:generic/${name}@${encodeURIComponent(version)}`,
    })),
})

/** A UUID derived from the text: the same text gives the same UUID. */
const uuidOf = (text: string): string => {
  const hex = createHash("sha256").update(text).digest("hex")
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  )
}

/**
 * The bill of materials of the executable, in CycloneDX 1.5. It contains no timestamp, so that builds are reproducible.
 */
export const toBillOfMaterials = (product: Product, parts: readonly Part[], runtime: RuntimeVersions) => {
  const { name, version, license } = product
  const own = `${name}@${version}`
  const component = {
    type: "application",
    "bom-ref": own,
    name,
    version,
    purl: purl(product),
    licenses: [{ license: { id: license } }],
  }
  const contents = {
    metadata: { component },
    components: [...parts.map(toComponent), toRuntime(runtime)],
    dependencies: [
      { ref: own, dependsOn: [...parts.map(({ folder }) => folder), "node"] },
      ...parts.map(({ folder, needs }) => ({ ref: folder, dependsOn: needs })),
    ],
  }
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(contents))}`,
    version: 1,
    ...contents,
  }
}

const line = "=".repeat(80)

/**
 * The licence texts of all packages in the executable, which must be distributed together with it.
 *
 * @param textOf Returns the licence text of a package.
 */
export const toNotices = (
  { name, version }: Product,
  parts: readonly Part[],
  runtime: RuntimeVersions,
  textOf: (part: Part) => string,
): string => {
  const node = `v${runtime.node}`
  const head = `${name} ${version} contains these packages, and in its single executable Node ${node}, whose licence and those of
the libraries in it are in https://github.com/nodejs/node/blob/${node}/LICENSE`
  const one = (part: Part) => `${line}\n${part.name} ${part.version} (${part.license})\n\n${textOf(part).trim()}\n`
  return `${head}\n\n${parts.map(one).join("\n")}`
}
