import fc from "fast-check"
import { expect, test } from "vitest"
import { Resources } from "../../../src/api/units.ts"

const accepts = (cpu: unknown): boolean => Resources.safeParse({ limits: { cpu } }).success

test.each(["1", "100m", "0.5", ".5", "1.", "128Mi", "1e3", "1E-3", "+1", "5k", 2, 0.25])(
  "%s is a quantity",
  (value) => {
    expect(accepts(value)).toBe(true)
  },
)

test.each(["banana", "", "1 Gi", "1GiB", "1mm", "0x10", "Mi", "--1", "1e", null, true, Number.NaN])(
  "%s is no quantity",
  (value) => {
    expect(accepts(value)).toBe(false)
  },
)

test("every number is kept as its text, with every unit that Kubernetes knows", () => {
  const unit = fc.constantFrom("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
  fc.assert(fc.property(fc.nat(), unit, (amount, suffix) => accepts(`${amount}${suffix}`)))
  expect(Resources.parse({ requests: { cpu: 2 } })).toEqual({ requests: { cpu: "2" } })
})
