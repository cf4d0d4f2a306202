import { createHash } from "node:crypto"

declare const brand: unique symbol

/** Names one sharer inside a target: `shared`, `role:<digest>`, `group:<digest>`, `user:<digest>`. Only this file makes them. */
export type SubjectKey = string & { readonly [brand]: "SubjectKey" }

/** PLACEHOLDER until the identity room is furnished. */
export const digestOf = (...parts: readonly string[]): string =>
  createHash("sha256").update(parts.join("\0")).digest("hex")
