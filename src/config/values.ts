import { isIP } from "node:net"
import { z } from "zod"
import { durationPattern, formatDuration, parseDuration } from "../api/duration.ts"

/** What a schema can carry about a key besides type and description: for error messages, docs and masking. */
declare module "zod" {
  interface GlobalMeta {
    /** Completes «must be …»; derived from the type where absent. */
    readonly allowed?: string
    /** True: the value never appears in errors, logs or `reflow config`. */
    readonly secret?: boolean
  }
}

/** What a duration may be, as the end of «must be …». */
export const durationText = "a duration such as 30s, 10m or 1h30m"

/** A Go-style duration in the file, milliseconds in the program; shorter ones than `leastMs` are refused. */
export const duration = (fallback: string, description: string, leastMs = 1_000) =>
  z
    .string()
    .regex(durationPattern)
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms !== undefined && ms >= leastMs) return ms
      const message = ms === undefined ? `must be ${durationText}` : `must be at least ${formatDuration(leastMs)}`
      context.addIssue({ code: "custom", message })
      return z.NEVER
    })
    .prefault(fallback)
    .meta({ description, allowed: durationText })

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
}
const sizePattern = /^([0-9]{1,12})(KiB|MiB|GiB|KB|MB|GB)?$/
const leastSize = 1024

/** A size with a unit in the file, bytes in the program; at least 1 KiB. */
export const size = (fallback: string, description: string) =>
  z
    .string()
    .regex(sizePattern)
    .transform((text, context) => {
      const [, amount, unit] = sizePattern.exec(text) ?? []
      const bytes = Number(amount) * (sizeUnits[unit ?? ""] ?? 1)
      if (bytes >= leastSize && Number.isSafeInteger(bytes)) return bytes
      context.addIssue({ code: "custom", message: "must be at least 1KiB" })
      return z.NEVER
    })
    .prefault(fallback)
    .meta({ description, allowed: "a size such as 64KiB or 4MiB" })

const listenPattern = /^(\[[0-9a-fA-F:]+\]|[^:[\]\s]+):([0-9]{1,5})$/

/** What an address to listen at may be, as the end of «must be …». */
export const listenText = "HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080"

/** An address to listen at; port 0 lets the system choose one. */
export const listen = (fallback: string, description: string) =>
  z
    .string()
    .regex(listenPattern)
    .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, "must have a port up to 65535")
    .default(fallback)
    .meta({ description, allowed: listenText })

/** Most characters of a claim's path, and of each name in a path that is a list; most names in such a list. */
const longestClaim = 1_024
const mostClaimSteps = 16

/**
 * Where a token has a claim. Text: the claim of exactly that name if the token has it, else a path whose steps are
 * separated by dots. A list: the names of the steps, needed where a name contains a dot.
 */
export const claimPath = (fallback: string, description: string) => {
  const name = z.string().min(1).max(longestClaim)
  return z
    .union([name, z.array(name).min(1).max(mostClaimSteps)])
    .default(fallback)
    .meta({
      description,
      allowed: `a claim's name, names separated by dots, or a list of 1 to ${mostClaimSteps} names; at most ${longestClaim} characters each`,
    })
}

/** A list of non-empty texts, empty by default. */
export const strings = (description: string) => z.array(z.string().min(1)).default([]).describe(description)

const isNetwork = (text: string): boolean => {
  const [address = "", bits, ...rest] = text.split("/")
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** A list of networks in CIDR notation or single addresses, empty by default. */
export const networks = (description: string) =>
  z
    .array(z.string().refine(isNetwork, "must be a network such as 10.0.0.0/8 or fd00::/8, or one address"))
    .default([])
    .describe(description)
