import { AppError } from "../../errors.ts"
import type { ObjectRef } from "../../ports/cluster.ts"
import type { AnyKind } from "./raw.ts"

/** What is wrong with a field. Never quotes the value: it may be secret. */
export type Problem = { readonly path: string; readonly message: string }

const maxTold = 8

/** The refusal of an object, as the API server words it: which field, and why. */
export const invalid = (kind: AnyKind, name: string, problems: readonly Problem[]): AppError => {
  const told = problems.slice(0, maxTold).map(({ path, message }) => `${path || kind.kind}: ${message}`)
  return new AppError("ApiInvalid", {
    detail: `${kind.kind} "${name}" is invalid: ${told.join("; ")}`,
    data: { errors: problems.slice(0, maxTold) },
  })
}

export const notFound = (kind: AnyKind, { name }: ObjectRef): AppError =>
  new AppError("ApiNotFound", { detail: `${kind.plural} "${name}" not found` })

export const conflict = (kind: AnyKind, { name }: ObjectRef, why: string): AppError =>
  new AppError("ApiConflict", { detail: `${kind.plural} "${name}" was not changed: ${why}` })

export const alreadyExists = (kind: AnyKind, name: string): AppError =>
  new AppError("ApiAlreadyExists", { detail: `${kind.plural} "${name}" already exists` })
