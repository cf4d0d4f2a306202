import { readable } from "../foreign-text.ts"
import type { Given } from "./given.ts"
import type { Fault, Path } from "./place.ts"

/** A credential of the target that is made. */
type Credential = { readonly name: string; readonly required: boolean; readonly description: string | undefined }

/** Where a field of the target comes from: its path in the spec, and its place in the document. */
export type Origin = { readonly field: Path; readonly place: Path }

/** Longest description of a credential, in characters (kinds/mcp-target). */
const longestDescription = 1_024

/** A foreign text on one line, safe to show. */
export const shown = (text: string, most = 200): string =>
  readable(text.slice(0, 4 * most).replaceAll(/\s+/g, " "), most).trim()

/** The parts of a target while they are made of one offer of a document, and what is in the way. */
export class Draft {
  readonly given: Given
  readonly env: { readonly name: string; readonly value: string }[] = []
  readonly args: string[] = []
  /** Why the offer cannot be used at all; places in the document. */
  readonly faults: Fault[] = []
  /** What the caller has to give, or gave wrongly; places in the request. */
  readonly wanted: Fault[] = []
  readonly warnings: Fault[] = []
  readonly origins: Origin[] = []
  /** Names of all inputs that the caller may give. */
  readonly inputs = new Set<string>()
  /** Texts of inputs that URLs may name. */
  readonly texts = new Map<string, string>()
  private readonly told = new Set<string>()
  private readonly secrets = new Map<string, { credential: Credential; place: Path }>()

  constructor(given: Given) {
    this.given = given
  }

  fault(path: Path, detail: string): undefined {
    this.faults.push({ path, detail })
  }

  warn(path: Path, detail: string): undefined {
    this.warnings.push({ path, detail })
  }

  want(name: string, detail: string): undefined {
    const key = JSON.stringify([name, detail])
    if (!this.told.has(key)) this.wanted.push({ path: ["arguments", name], detail })
    this.told.add(key)
  }

  /** Declares a credential. One that is declared already is required if either is. */
  credential(name: string, required: boolean, description: string | undefined, place: Path): void {
    const known = this.secrets.get(name)
    const text = description === undefined ? undefined : shown(description, longestDescription)
    const credential = {
      name,
      required: required || known?.credential.required === true,
      description: known?.credential.description ?? (text === "" ? undefined : text),
    }
    this.secrets.set(name, { credential, place: known?.place ?? place })
  }

  arg(text: string, place: Path): undefined {
    this.origins.push({ field: ["args", this.args.length], place })
    this.args.push(text)
  }

  variable(name: string, value: string, place: Path): void {
    this.origins.push({ field: ["env", this.env.length], place })
    this.env.push({ name, value })
  }

  /** True if an environment variable of this name is there, plain or secret. */
  hasVariable(name: string): boolean {
    return this.secrets.has(name) || this.env.some((each) => each.name === name)
  }

  /** The fields of the spec that inputs made; those without a content are left out. */
  fields(): Readonly<Record<string, unknown>> {
    const credentials = [...this.secrets.values()].map(({ credential, place }, index) => {
      this.origins.push({ field: ["credentials", index], place })
      const { name, required, description } = credential
      return { name, ...(required ? { required } : {}), ...(description === undefined ? {} : { description }) }
    })
    return {
      ...(this.args.length === 0 ? {} : { args: this.args }),
      ...(this.env.length === 0 ? {} : { env: this.env }),
      ...(credentials.length === 0 ? {} : { credentials }),
    }
  }
}
