import { defaultResources, type Resources } from "../../api/units.ts"

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** A Kubernetes quantity as a number, e.g. 0.1 for `100m`; the schema has checked its form. */
const amount = (quantity: string): number => {
  const plain = Number(quantity)
  if (!Number.isNaN(plain)) return plain
  const suffix = quantity.search(/[A-Za-z]/)
  if (suffix < 0) return 0
  return Number(quantity.slice(0, suffix)) * (factors[quantity.slice(suffix)] ?? 1)
}

/** The larger of two quantities. */
export const largerOf = (one: string, other: string): string => (amount(one) >= amount(other) ? one : other)

/** The own values, and each default that `fits` allows. */
const withDefaults = (
  own: Readonly<Record<string, string>>,
  defaults: Readonly<Record<string, string>>,
  fits: (name: string, value: string) => boolean,
): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(defaults).filter(([name, value]) => fits(name, value))),
  ...own,
})

/**
 * Requests and limits of the container: the instance's (`said`), else the defaults. A default request above the
 * instance's limit is left out; a default limit below the instance's request is raised to the request.
 */
export const resourcesOf = (said: Resources | undefined): Resources => {
  const requests = said?.requests ?? {}
  const limits = said?.limits ?? {}
  const under = (name: string, value: string) => limits[name] === undefined || amount(value) <= amount(limits[name])
  const above = (name: string, value: string) => requests[name] === undefined || amount(requests[name]) <= amount(value)
  const raised = Object.fromEntries(
    Object.entries(defaultResources.limits ?? {}).flatMap(([name, value]) => {
      const request = requests[name]
      return request !== undefined && amount(request) > amount(value) ? [[name, request]] : []
    }),
  )
  return {
    // an absent request counts as equal to its limit in Kubernetes
    requests: withDefaults(requests, defaultResources.requests ?? {}, under),
    limits: { ...raised, ...withDefaults(limits, defaultResources.limits ?? {}, above) },
  }
}
