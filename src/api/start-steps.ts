/** The steps of a start, in their order: keys of an instance's `status.timings`, and names in Server-Timing. */
export const steps = ["queue", "create", "schedule", "pull", "start", "ready"] as const
