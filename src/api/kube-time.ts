/** A time as Kubernetes writes it: RFC 3339 in whole seconds, UTC. `ms` counts from the Unix epoch. */
export const toKubeTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z")
