/** The times that the requests of a load took. */

/** Collects times; grows as needed. */
export class Latencies {
  #times = new Float64Array(16_384)
  #count = 0

  /** Number of times. */
  get count(): number {
    return this.#count
  }

  /** Adds a time, in any unit. */
  add(time: number): void {
    if (this.#count === this.#times.length) {
      const larger = new Float64Array(this.#times.length * 2)
      larger.set(this.#times)
      this.#times = larger
    }
    this.#times[this.#count++] = time
  }

  /** Quantiles in the order of `shares` (0.5 = the median); each is a time that occurred. NaN if there is none. */
  quantiles(...shares: readonly number[]): readonly number[] {
    const sorted = this.#times.slice(0, this.#count).sort()
    return shares.map((share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN)
  }
}
