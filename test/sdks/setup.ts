import type { TestProject } from "vitest/node"
import { setup as build } from "../support/build-outputs.ts"
import { type Language, languages, prepare } from "./languages.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The languages whose SDKs this machine can try. */
    readonly languages: readonly Language[]
  }
}

/**
 * Makes the executable and the SDKs of each language ready. A language that the machine lacks is skipped loudly: its tests
 * count as skipped. One that is there but cannot get its SDKs is a failure where everything must hold (CI is set).
 */
export const setup = async ({ provide }: TestProject): Promise<void> => {
  const [missing] = await Promise.all([Promise.all(languages.map(prepare)), build()])
  const lacking = missing.filter((each) => each !== undefined)
  for (const { language, why } of lacking) console.warn(`!!! SDKS OF ${language.toUpperCase()} SKIPPED: ${why} !!!`)
  const broken = lacking.find(({ installed }) => installed)
  if (broken !== undefined && (process.env.CI ?? "") !== "") throw new Error(`${broken.language}: ${broken.why}`)
  provide(
    "languages",
    languages.filter((language) => !lacking.some((each) => each.language === language)),
  )
}
