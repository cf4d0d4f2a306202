import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Files whose name begins so read what the others have left. */
const isLast = ({ moduleId }: TestSpecification): boolean => /\/zz-[^/]*$/.test(moduleId)

/** Runs files in vitest's own order, but those called `zz-…` last. vitest asks for a class. */
export class LastFileSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return [...sorted.filter((file) => !isLast(file)), ...sorted.filter(isLast)]
  }
}
