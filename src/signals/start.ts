/** The steps of a start, in order: JSON keys in an instance's `status.timings`, and metric names in Server-Timing. */
export const startSteps = ["queue", "create", "schedule", "pull", "install", "start", "ready"] as const
