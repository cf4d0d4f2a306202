/** A simple index of Python packages of the test's own: pypiserver on loopback, with packages that are made by hand. */
import { execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"

/** A package to serve. */
export type PythonPackage = {
  readonly name: string
  readonly version: string
  /** Console scripts: what each one calls, as `module:function`. */
  readonly scripts?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  /** Requirements, e.g. `other>=1`. */
  readonly requires?: readonly string[]
  /** Versions of Python, e.g. `>=3.99`. */
  readonly requires_python?: string
  /** The text of a pyproject.toml: the package is there as sources only. */
  readonly pyproject?: string
}

/** A running index. */
export type PythonIndex = {
  /** URL of the simple index, with a slash at the end. */
  readonly url: string
  close(): Promise<void>
}

/** Who may read an index that needs a login. */
export const reader = { username: "reader", password: "another-password/of?28-chars" } as const

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** Resolves once the server answers, with whatever status. */
const untilServing = async (url: string): Promise<void> => {
  for (let tries = 0; ; tries++) {
    try {
      await fetch(url)
      return
    } catch (error) {
      if (tries > 300) throw error
      await sleep(100)
    }
  }
}

const sha1 = (text: string): string => createHash("sha1").update(text).digest("base64")

/**
 * Starts an index with these packages. `tools`: the folder of {@link file://./python-tools.ts}. `login`: who has none
 * sees nothing; both the reader's password and, as PyPI's tokens are used, that of the user `__token__` are right.
 */
export const startPythonIndex = async (
  tools: string,
  packages: readonly PythonPackage[],
  login = false,
): Promise<PythonIndex> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-python-index-"))
  const [served, users] = [join(folder, "packages"), join(folder, "htpasswd")]
  await mkdir(served)
  const script = join(import.meta.dirname, "make-wheels.py")
  await promisify(execFile)(join(tools, "python3"), [script, served, JSON.stringify(packages)])
  await writeFile(
    users,
    [reader.username, "__token__"].map((name) => `${name}:{SHA}${sha1(reader.password)}\n`).join(""),
  )
  const port = await freePort()
  const access = login ? ["-a", "list,download,update", "-P", users] : ["-a", ".", "-P", "."]
  const child = spawn(
    join(tools, "pypi-server"),
    ["run", "-i", "127.0.0.1", "-p", String(port), "--disable-fallback", ...access, served],
    { stdio: "ignore" },
  )
  const ended = once(child, "exit")
  const close = async (): Promise<void> => {
    child.kill("SIGKILL")
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${port}/simple/`
  await Promise.race([untilServing(url), ended.then(() => Promise.reject(new Error("pypi-server has ended")))])
  return { url, close }
}
