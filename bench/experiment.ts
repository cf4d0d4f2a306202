/** A part of the benchmark that measures some rows of its table. */
import type { LoadGenerator } from "./load.ts"
import type { Stage } from "./stage.ts"
import type { Round, Series } from "./verdict.ts"

/** What an experiment works with. */
export type Context = {
  /** Rounds of each comparison. */
  readonly rounds: number
  /** Length of one run of a load, seconds. */
  readonly seconds: number
  /** Event streams that are opened at once. */
  readonly streams: number
  readonly generator: LoadGenerator
  /** Everything that is warm: started and warmed up when it is first asked for. */
  stage(): Promise<Stage>
  /** Says what is going on. */
  note(text: string): void
}

/** An experiment and the ids of its rows; not every run has each of them (nginx may be missing). */
export type Experiment = {
  readonly ids: readonly string[]
  /** Resolves with the rows. Throws if a program fails, or an answer is not as expected. */
  run(context: Context): Promise<readonly Series[]>
}

/**
 * Runs all in their order in even rounds, in the opposite order in odd ones, so that none always runs on a machine that
 * another one has warmed. Resolves with the results in the order of `all`.
 */
export const alternate = async <T, R>(
  all: readonly T[],
  round: number,
  run: (each: T) => Promise<R>,
): Promise<readonly R[]> => {
  const results = new Map<T, R>()
  for (const each of round % 2 === 0 ? all : all.toReversed()) results.set(each, await run(each))
  return all.map((each) => results.get(each) as R)
}

/** The rounds of two series of figures, paired. */
export const pairRounds = (figures: readonly number[], references: readonly number[]): readonly Round[] =>
  figures.map((figure, index) => {
    const reference = references[index]
    return reference === undefined ? { figure } : { figure, reference }
  })

/** True if `only` is empty, or one of its entries is the id or its first words: `cpu-1` is not of `cpu-16-session`. */
export const isWanted = (id: string, only: readonly string[]): boolean =>
  only.length === 0 || only.some((words) => `${id}-`.startsWith(`${words}-`))
