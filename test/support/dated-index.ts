/**
 * A simple index of Python packages as PyPI serves it, in JSON and with dates (PEP 691, PEP 700), which pypiserver cannot
 * do: written by hand, on loopback. It can also have the faults that no real index can be made to have.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Fault } from "./faulty-registry.ts"
import type { PythonIndex, PythonPackage } from "./python-index.ts"

/** A package, and when it was published, e.g. `2026-03-01T23:59:59Z`. */
export type DatedPackage = PythonPackage & { readonly published: string }

type Wheel = { readonly file: string; readonly bytes: Buffer; readonly published: string }

const pageOf = (name: string, wheels: readonly Wheel[]) => ({
  meta: { "api-version": "1.1" },
  name,
  files: wheels.map(({ file, bytes, published }) => ({
    filename: file,
    url: `/files/${file}`,
    hashes: { sha256: createHash("sha256").update(bytes).digest("hex") },
    "upload-time": published,
    size: bytes.length,
  })),
})

const sendWheel = (response: ServerResponse, bytes: Buffer, fault: Fault | undefined): void => {
  if (fault === undefined) return void response.end(bytes)
  response.writeHead(200, { "content-length": bytes.length })
  // a name in the archive's directory: it can still be read
  if (fault === "changed")
    return void response.end(Buffer.from(bytes.toString("latin1").replace("said", "dias"), "latin1"))
  response.write(bytes.subarray(0, 10))
  if (fault === "reset") setImmediate(() => response.socket?.resetAndDestroy())
}

const wheelsOf = async (tools: string, { published, ...each }: DatedPackage): Promise<Wheel> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-wheels-"))
  const script = join(import.meta.dirname, "make-wheels.py")
  await promisify(execFile)(join(tools, "python3"), [script, folder, JSON.stringify([each])])
  const [file = ""] = await readdir(folder)
  const bytes = await readFile(join(folder, file))
  await rm(folder, { recursive: true })
  return { file, bytes, published }
}

/** Starts an index with these packages, all of one name, and with this fault. `tools`: see python-tools.ts. */
export const startDatedIndex = async (
  tools: string,
  packages: readonly DatedPackage[],
  fault?: Fault,
): Promise<PythonIndex> => {
  const name = packages[0]?.name ?? ""
  const wheels = await Promise.all(packages.map((each) => wheelsOf(tools, each)))
  const server = createServer(({ url = "" }, response) => {
    const wheel = wheels.find(({ file }) => url.endsWith(`/${file}`))
    if (typeof fault === "object") response.writeHead(fault.status).end()
    else if (wheel !== undefined) sendWheel(response, wheel.bytes, fault)
    else if (url !== `/simple/${name}/`) response.writeHead(404).end()
    else
      response
        .setHeader("content-type", "application/vnd.pypi.simple.v1+json")
        .end(JSON.stringify(pageOf(name, wheels)))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple/`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
