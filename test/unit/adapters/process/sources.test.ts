import { expect, test } from "vitest"
import { fieldValue, namedSecrets, neededSecrets, unsupportedSource } from "../../../../src/adapters/process/sources.ts"
import type { Container, EnvValueSource, Pod } from "../../../../src/api/kinds/pod.ts"

const container = (more: Partial<Container>): Container => ({ name: "mcp", image: "i", ...more })
const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "pod-1", namespace: "reflow", uid: "u", labels: { "a.io/b": "label" }, annotations: { c: "note" } },
  spec: { containers: [] },
}

test("Secrets are named by envFrom and valueFrom, and needed unless they are optional", () => {
  const given = container({
    envFrom: [
      { secretRef: { name: "all" } },
      { secretRef: { name: "may", optional: true } },
      { configMapRef: { name: "m" } },
    ],
    env: [
      { name: "A", value: "1" },
      { name: "B", valueFrom: { secretKeyRef: { name: "one", key: "k" } } },
      { name: "C", valueFrom: { secretKeyRef: { name: "two", key: "k", optional: true } } },
    ],
  })
  expect(namedSecrets(given)).toEqual(["all", "may", "one", "two"])
  expect(neededSecrets(given)).toEqual([{ secret: "all" }, { secret: "one", key: "k" }])
})

test.each([
  ["metadata.name", "pod-1"],
  ["metadata.namespace", "reflow"],
  ["metadata.uid", "u"],
  ["metadata.labels['a.io/b']", "label"],
  ["metadata.annotations['c']", "note"],
  ["metadata.labels['absent']", ""],
  ["metadata.labels['constructor']", ""],
  ["spec.nodeName", "local"],
  ["spec.serviceAccountName", "default"],
  ["status.podIP", "127.0.0.1"],
  ["status.hostIP", "127.0.0.1"],
  ["metadata.labels", undefined],
  ["constructor", undefined],
  ["spec.hostname", undefined],
])("the field %s is %s", (path, value) => {
  expect(fieldValue(pod, "local", path)).toBe(value)
})

const why = (valueFrom: EnvValueSource): string | undefined =>
  unsupportedSource(
    container({ env: [{ name: "A", valueFrom }] }),
    (path) => fieldValue(pod, "local", path) !== undefined,
  )

test("what can never be had here is said, with the variable's name", () => {
  expect(why({ secretKeyRef: { name: "s", key: "k" } })).toBeUndefined()
  expect(why({ fieldRef: { fieldPath: "metadata.name" } })).toBeUndefined()
  expect(why({ configMapKeyRef: { name: "m", key: "k", optional: true } })).toBeUndefined()
  expect(why({ configMapKeyRef: { name: "m", key: "k" } })).toMatch(/^env A: configmap "m" not found; .* no ConfigMaps/)
  expect(why({ fieldRef: { fieldPath: "spec.hostname" } })).toBe(
    "env A: there is no field spec.hostname for an environment variable",
  )
  expect(why({ resourceFieldRef: { resource: "limits.cpu" } })).toMatch(/^env A: .* has no resourceFieldRef$/)
  expect(why({})).toMatch(/^env A: .* has no empty valueFrom$/)
  expect(unsupportedSource(container({ envFrom: [{ configMapRef: { name: "m" } }] }), () => true)).toMatch(
    /^envFrom: configmap "m"/,
  )
  expect(
    unsupportedSource(container({ envFrom: [{ configMapRef: { name: "m", optional: true } }] }), () => true),
  ).toBeUndefined()
})
