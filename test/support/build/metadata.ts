import type { ObjectMeta } from "../../../src/api/kinds/kind.ts"

/** Where the fixtures' time begins: the fake clock's own default. */
export const birth = "2030-01-01T00:00:00.000Z"

/** Milliseconds since the epoch, `seconds` after {@link birth}. */
export const msAfter = (seconds: number): number => Date.parse(birth) + seconds * 1000

/** RFC 3339, `seconds` after {@link birth}. */
export const stampAfter = (seconds: number): string => new Date(msAfter(seconds)).toISOString()

/** Metadata of an object in namespace `reflow`, made at {@link birth}. */
export const metadata = (name: string, more: Partial<ObjectMeta> = {}): ObjectMeta => ({
  name,
  namespace: "reflow",
  uid: `uid-${name}`,
  resourceVersion: "1",
  generation: 1,
  creationTimestamp: birth,
  ...more,
})
