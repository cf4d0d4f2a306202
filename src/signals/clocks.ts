/**
 * How far apart the clocks of the cluster's machines may be, milliseconds. A stamp that another machine wrote tells that
 * something changed; when, only as exactly as this.
 */
export const clockSkewMs = 5 * 60_000
