import fc from "fast-check"

/** Something that must hold for whatever is sent. */
export type FuzzProperty = {
  /** A sentence: what holds. */
  readonly name: string
  /** May be one that awaits what it tries. */
  readonly property: fc.IRawProperty<unknown, boolean>
}

/** Without a time to fill each property is tried this often, which takes seconds in all. */
const quickRuns = 400

/** How long and from which seed. */
export type FuzzPlan = { readonly seconds: number | undefined; readonly seed: number | undefined }

/** The plan of the environment: REFLOW_FUZZ_SECONDS for all properties together, REFLOW_FUZZ_SEED to repeat a run. */
export const planFrom = (environment: NodeJS.ProcessEnv, properties: number): FuzzPlan => {
  const { REFLOW_FUZZ_SECONDS: seconds, REFLOW_FUZZ_SEED: seed } = environment
  return {
    seconds: seconds === undefined ? undefined : Number(seconds) / properties,
    seed: seed === undefined ? undefined : Number(seed),
  }
}

/** Tries a property; throws with the seed and the smallest counterexample. Gives how often it was tried. */
export const tryProperty = async ({ property }: FuzzProperty, { seconds, seed }: FuzzPlan): Promise<number> => {
  const length =
    seconds === undefined
      ? { numRuns: quickRuns }
      : { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: seconds * 1_000 }
  const details = await fc.check(property, { ...length, ...(seed === undefined ? {} : { seed }) })
  const report = fc.defaultReportMessage(details)
  if (details.failed) {
    const why = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance)
    throw new Error(`${report}\n${why}\nRepeat it with REFLOW_FUZZ_SEED=${details.seed}`)
  }
  return details.numRuns
}
