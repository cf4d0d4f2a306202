import { describe, expect, test } from "vitest"
import { targetOfDocument } from "../../../../src/admin/target-document.ts"
import type { FieldProblem } from "../../../../src/admin/validation.ts"
import { MCPTargetSpec, mcpTargetKind, targetRules } from "../../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../../src/api/names.ts"
import { targetNameOf } from "../../../../src/api/server-json/name.ts"
import { AppError } from "../../../../src/errors.ts"
import { lines, type Sample, samples, sampleTime } from "../../../support/server-json.ts"

const bodyOf = ({ document, request }: Sample) => ({
  name: targetNameOf(String(document.name)),
  server_json: document,
  ...request,
})

/** The target, or the lines of the refusal. */
const makeOf = (sample: Sample) => {
  try {
    return { made: targetOfDocument(bodyOf(sample), { namespace: "reflow", now: sampleTime }) }
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "ValidationFailed") throw error
    return { refused: lines((error.data?.errors ?? []) as readonly FieldProblem[]) }
  }
}

test("there are documents of all shapes", () => {
  expect(samples.length).toBeGreaterThanOrEqual(25)
  for (const { name, made, refused } of samples) expect([made, refused], name).toContain(undefined)
})

describe("a server.json makes the target that a person would have written", () => {
  test.each(samples.filter(({ made }) => made !== undefined).map((sample) => [sample.name, sample] as const))(
    "%s",
    (_name, sample) => {
      const { made, refused } = makeOf(sample)
      expect(refused).toBeUndefined()
      const target = made?.target
      expect(target?.metadata.name).toBe(sample.made?.name)
      expect(target?.spec).toEqual(MCPTargetSpec.parse(sample.made?.spec))
      expect(lines(made?.warnings ?? [])).toEqual(sample.made?.warnings ?? [])
      expect(mcpTargetKind.schema?.safeParse(target).success).toBe(true)
      for (const rule of targetRules.filter(({ path }) => path === "spec"))
        expect(rule.holds(target?.spec), rule.message).toBe(true)
      expect(JSON.parse(target?.metadata.annotations?.[labels.serverJson] ?? "")).toEqual({
        name: sample.document.name,
        version: expect.any(String),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      })
    },
  )
})

describe("a server.json that makes no target says why, with the place in the document or the missing input", () => {
  test.each(samples.filter(({ refused }) => refused !== undefined).map((sample) => [sample.name, sample] as const))(
    "%s",
    (_name, sample) => {
      expect(makeOf(sample).refused).toEqual(sample.refused)
    },
  )
})
