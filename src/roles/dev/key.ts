import { randomBytes } from "node:crypto"
import { chmod, link, mkdir, readFile, stat, unlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Purpose } from "../../cli/commands.ts"
import { AppError, isAppError, systemCode } from "../../errors.ts"
import { mintDevToken } from "../../identity/own-tokens.ts"

const keyBytes = 32

/** Path of the file with the signing key, in `dev.state_dir`. */
export const keyFile = (stateDir: string): string => join(stateDir, "dev-token-key")

const invalid = (file: string, what: string, cause?: unknown): AppError =>
  new AppError("ConfigInvalid", { detail: `The key of dev tokens, ${file}, ${what}.`, cause })

const readKey = async (file: string): Promise<Uint8Array | undefined> => {
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) throw invalid(file, `can be read by other users: run chmod 600 ${file}`)
    const key = Buffer.from((await readFile(file, "utf8")).trim(), "hex")
    if (key.byteLength === keyBytes) return key
    throw invalid(file, "is damaged: remove it, and a new one is made (older tokens then end)")
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined
    throw error
  }
}

/**
 * Creates the key file: writes a draft and links it to its name. link(2) never replaces a file, so two processes that
 * start together use the same key.
 */
const makeKey = async (stateDir: string, file: string): Promise<void> => {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`
  await writeFile(draft, `${randomBytes(keyBytes).toString("hex")}\n`, { mode: 0o600, flag: "wx" })
  try {
    await chmod(draft, 0o600) // the umask may have changed the mode
    await link(draft, file)
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error
  } finally {
    await unlink(draft)
  }
}

/**
 * The key that signs tokens of the role dev. It is created at the first call and kept in `stateDir` (mode 0600), so
 * that tokens stay valid after a restart. Throws `ConfigInvalid` if the file is damaged, readable by others, or cannot
 * be made.
 */
export const ensureDevKey = async (stateDir: string): Promise<Uint8Array> => {
  const file = keyFile(stateDir)
  try {
    const found = await readKey(file)
    if (found !== undefined) return found
    await makeKey(stateDir, file)
    const made = await readKey(file)
    if (made !== undefined) return made
  } catch (error) {
    if (isAppError(error)) throw error
    throw invalid(file, `cannot be used (${systemCode(error)}): name another folder with dev.state_dir`, error)
  }
  throw invalid(file, "was deleted while it was read")
}

/** Content of a token. */
export type TokenRequest = {
  readonly subject: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** Other claims, `email` among them. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly purposes: readonly Purpose[]
  /** Lifetime in milliseconds. */
  readonly ttlMs: number
}

/** Mints a token that every gateway of the role dev with the same `stateDir` accepts, running or started later. */
export const devToken = async (stateDir: string, request: TokenRequest): Promise<string> =>
  mintDevToken(await ensureDevKey(stateDir), {
    subject: request.subject,
    groups: request.groups,
    roles: request.roles,
    ...(request.claims === undefined ? {} : { claims: request.claims }),
    for: request.purposes,
    ttlSeconds: Math.round(request.ttlMs / 1000),
  })
