/**
 * What the program is made of, for build.config.ts: the bill of materials (CycloneDX) and the licences. Not part of the
 * program. package.json does not tell it: the bundle has all that it needs, so that every package is one of development.
 */
import { createHash } from "node:crypto"

/** The entry of a package in package-lock.json, as far as it is read. */
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

/** A package that is in the program. */
export type Part = {
  /** Its folder, from the repository's root. */
  readonly folder: string
  readonly name: string
  readonly version: string
  /** As SPDX writes it, e.g. `MIT`. */
  readonly license: string
  /** SHA-512 of its archive in hex. */
  readonly sha512: string
  /** Folders of the parts that it needs. */
  readonly needs: readonly string[]
}

/** The program, as package.json names it. */
export type Product = { readonly name: string; readonly version: string; readonly license: string }

/** Node's version, and those of the libraries in it, as `process.versions` names them. */
export type RuntimeVersions = Readonly<Record<string, string | undefined>>

/** The folder of the package that a file belongs to; undefined for our own files. */
const folderOf = (path: string): string | undefined => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]

/** Where Node finds a package that another one asks for: in its own folder, else in one above. */
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
    throw new Error(`package-lock.json does not tell version, license and sha512 of ${folder}`)
  const asked = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies }
  const needs = Object.keys(asked).flatMap((name) => resolveFolder(folder, name, known) ?? [])
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length)
  return { folder, name, version, license, sha512: Buffer.from(digest, "base64").toString("hex"), needs: needs.sort() }
}

/**
 * The packages of which a bundle holds files, by name.
 *
 * @param inputs Paths of its files from the repository's root, as esbuild's metafile has them.
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

/** Node and the libraries in it; of what they contain further, Node's own sources tell. */
const toRuntime = ({ node = "", ...libraries }: RuntimeVersions) => ({
  type: "platform",
  "bom-ref": "node",
  name: "node",
  version: node,
  purl: `pkg:generic/node@${node}`,
  cpe: `cpe:2.3:a:nodejs:node.js:${node}:*:*:*:*:*:*:*`,
  components: Object.entries(libraries)
    // numbers of interfaces, and libraries that this build of Node has not
    .filter(([name, version]) => version && name !== "modules" && name !== "napi")
    .map(([name, version = ""]) => ({
      type: "library",
      "bom-ref": `node/${name}`,
      name,
      version,
      purl: `pkg:generic/${name}@${encodeURIComponent(version)}`,
    })),
})

/** A UUID that is the same for the same text. */
const uuidOf = (text: string): string => {
  const hex = createHash("sha256").update(text).digest("hex")
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  )
}

/**
 * The bill of materials of the executable, in CycloneDX 1.5. It has no time in it: the same program has the same one.
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
 * The licences of everything in the executable, as they must go along with it.
 *
 * @param textOf The licence's text in a package's folder.
 */
export const toNotices = (
  { name, version }: Product,
  parts: readonly Part[],
  runtime: RuntimeVersions,
  textOf: (part: Part) => string,
): string => {
  const node = `v${runtime.node}`
  const head = `${name} ${version} contains these packages, and in its single executable Node ${node}, whose licence and those of
the libraries in it stand in https://github.com/nodejs/node/blob/${node}/LICENSE`
  const one = (part: Part) => `${line}\n${part.name} ${part.version} (${part.license})\n\n${textOf(part).trim()}\n`
  return `${head}\n\n${parts.map(one).join("\n")}`
}
