/**
 * An npm registry of the test's own: verdaccio on loopback, without an upstream, with packages that are made by hand.
 * Packages in the scope `@private` need a login.
 */
import { createHash } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import type { Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runServer } from "verdaccio"
import { makeTarball, type TarFile } from "./tarball.ts"

/** A package to publish. */
export type NpmPackage = {
  readonly name: string
  /** Default 1.0.0. */
  readonly version?: string
  /** What its package.json has besides name and version. */
  readonly manifest?: Readonly<Record<string, unknown>>
  readonly files?: Readonly<Record<string, TarFile>>
}

/** A running registry. */
export type NpmRegistry = {
  /** Its URL, with a slash at the end. */
  readonly url: string
  /** Who may read the scope `@private`. */
  readonly reader: { readonly username: string; readonly password: string; readonly token: string }
  publish(...packages: readonly NpmPackage[]): Promise<void>
  close(): Promise<void>
}

/** A version as a registry lists it, with its tarball. `url`: of the registry. */
export const documentOf = (
  { name, version = "1.0.0", manifest = {}, files = {} }: NpmPackage,
  url: string,
): { readonly document: Readonly<Record<string, unknown>>; readonly file: string; readonly tarball: Buffer } => {
  const described = { name, version, ...manifest }
  const tarball = makeTarball({ "package.json": JSON.stringify(described), ...files })
  const file = `${name.slice(name.lastIndexOf("/") + 1)}-${version}.tgz`
  const dist = {
    integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    shasum: createHash("sha1").update(tarball).digest("hex"),
    tarball: `${url}${name}/-/${file}`,
  }
  const document = {
    _id: name,
    name,
    "dist-tags": { latest: version },
    versions: { [version]: { ...described, _id: `${name}@${version}`, dist } },
  }
  return { document, file, tarball }
}

const put = async (url: string, body: unknown, token?: string): Promise<Readonly<Record<string, unknown>>> => {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) }
  const response = await fetch(url, { method: "PUT", headers, body: JSON.stringify(body) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`)
  return JSON.parse(text) as Readonly<Record<string, unknown>>
}

const rights = (access: string) => ({ access, publish: "$authenticated", unpublish: "$authenticated" })

const configurationIn = (folder: string) => ({
  storage: join(folder, "storage"),
  configPath: join(folder, "config.yaml"),
  self_path: join(folder, "config.yaml"),
  auth: { htpasswd: { file: join(folder, "htpasswd"), algorithm: "bcrypt", rounds: 4 } },
  uplinks: {},
  packages: { "@private/*": rights("$authenticated"), "**": rights("$all") },
  max_body_size: "50mb",
  log: { type: "stdout", level: "fatal" },
})

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", resolve)
  })
  return (server.address() as AddressInfo).port
}

/** Starts a registry with these packages. Its storage is a temporary folder, which goes when it is closed. */
export const startNpmRegistry = async (...packages: readonly NpmPackage[]): Promise<NpmRegistry> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-npm-registry-"))
  const server = (await runServer(configurationIn(folder) as never)) as Server
  const url = `http://127.0.0.1:${await listen(server)}/`
  const user = { username: "reader", password: "a-password-of-26-characters" }
  const login = await put(`${url}-/user/org.couchdb.user:reader`, { name: user.username, password: user.password })
  const token = String(login.token)
  const publish: NpmRegistry["publish"] = async (...added) => {
    for (const each of added) {
      const { document, file, tarball } = documentOf(each, url)
      const attachment = {
        content_type: "application/octet-stream",
        data: tarball.toString("base64"),
        length: tarball.length,
      }
      await put(`${url}${encodeURIComponent(each.name)}`, { ...document, _attachments: { [file]: attachment } }, token)
    }
  }
  await publish(...packages)
  return {
    url,
    reader: { ...user, token },
    publish,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
