import { readable } from "../api/foreign-text.ts"
import { patterns } from "./flags.ts"
import { type Failure, failure, type Order } from "./order.ts"

/** Most names that a problem lists. */
const mostNamed = 12

const listOf = (names: readonly string[]): string => {
  const shown = names.slice(0, mostNamed).map((name) => readable(name, 64))
  return `${shown.join(", ")}${names.length > shown.length ? ", …" : ""}`
}

/** A name without scope, in the form in which names of Python packages are compared (PEP 503). */
const bare = (name: string): string =>
  name
    .slice(name.lastIndexOf("/") + 1)
    .toLowerCase()
    .replaceAll(/[-_.]+/g, "-")

/** What to do about a package without a program. */
const withoutProgram = ({ type, name, allowScripts }: Order, hasScripts: boolean): string => {
  const what = type === "npm" ? "no bin in its package.json" : "no console script"
  if (type === "npm" && hasScripts && !allowScripts)
    return `${name} has no program: ${what}. If its install script makes one, set allowScripts: true.`
  return `${name} has no program: ${what}. It is a library; name the package that has the server.`
}

/** Programs of a package by name, with what each one is. */
export type Programs = ReadonlyMap<string, string>

/**
 * The program to run: the one that was asked for, else the one named like the package, else its only one. Names that
 * differ only in the name count as one. `hasScripts`: the package has install scripts.
 */
export const chooseProgram = (
  order: Order,
  found: Programs,
  hasScripts: boolean,
): { readonly name: string; readonly value: string } | Failure => {
  const usable = [...found].filter(([name]) => patterns.bin.test(name))
  const names = usable.map(([name]) => name).sort()
  if (usable.length === 0) return failure(withoutProgram(order, hasScripts))
  const { bin } = order
  const chosen =
    bin === undefined
      ? (usable.find(([name]) => bare(name) === bare(order.name)) ??
        (new Set(usable.map(([, value]) => value)).size === 1 ? usable[0] : undefined))
      : usable.find(([name]) => name === bin)
  if (chosen !== undefined) return { name: chosen[0], value: chosen[1] }
  if (bin !== undefined)
    return failure(`${order.name} has no program named ${bin}. Set bin to one of: ${listOf(names)}.`)
  return failure(`${order.name} has several programs. Set bin to one of: ${listOf(names)}.`)
}
