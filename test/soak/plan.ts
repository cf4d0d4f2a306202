/** How long the soak is, and what follows from that. */

/** Minutes of traffic: REFLOW_SOAK_MINUTES, default 10. */
export const minutes = Number(process.env.REFLOW_SOAK_MINUTES ?? "10")
if (!(minutes > 0 && minutes <= 24 * 60)) throw new Error("REFLOW_SOAK_MINUTES must be a number of minutes")

/** A short soak has shorter lives of operators and instances, and fewer users, so that as much happens to each of them. */
const isShort = minutes < 5

/** The plan of this run. Times are in seconds. */
export const plan = {
  minutes,
  /** Silence of a call: longer than the five minutes of many defaults; in a short soak than what a request may take to arrive. */
  silence: isShort ? 130 : 370,
  /** Users that come and go, each with an instance of their own. */
  users: isShort ? 14 : 40,
  /** Places for instances: fewer than users, so that some wait. */
  places: isShort ? 10 : 16,
  /** Life of an operator, from one kill to the next. */
  operatorLife: isShort ? 30 : 60,
  /** An instance goes 1.25 times this after its last use. */
  idleTTL: isShort ? 12 : 40,
  /** A crowded machine starts slowly, and an operator that was killed is missed for the 15 s of its lease. */
  hold: 120,
  /** How long a user stays: from, to. */
  visit: isShort ? [8, 20] : [20, 70],
  /** How long a user is away: from, to. Its instance is collected meanwhile, or nearly. */
  absence: isShort ? [10, 40] : [30, 120],
  /** How long a user thinks between two calls: from, to. */
  thought: [0.3, 2.5],
} as const satisfies Readonly<Record<string, number | readonly [number, number]>>
