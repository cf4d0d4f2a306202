/** Fewest edits (insert, delete, replace, swap of neighbours) that turn `left` into `right`. */
const editDistance = (left: string, right: string): number => {
  let beforeLast: readonly number[] = []
  let last: readonly number[] = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let row = 1; row <= left.length; row++) {
    const next = [row]
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1]
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      )
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1)
      next.push(cost)
    }
    beforeLast = last
    last = next
  }
  return last[right.length] ?? 0
}

/** Longest name that is compared, since the time grows with the product of the lengths. */
const longest = 100

/**
 * The candidate with the fewest edits to `name`: at most a third of its length, or two; undefined if none is that
 * close.
 */
export const nearest = (name: string, candidates: Iterable<string>): string | undefined => {
  if (name.length > longest) return undefined
  let best: string | undefined
  let least = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance >= least || distance >= candidate.length) continue
    best = candidate
    least = distance
  }
  return best
}

/** The end of a message: `; did you mean X?`, or the empty text if no candidate is close. */
export const suggestion = (name: string, candidates: Iterable<string>): string => {
  const found = nearest(name, candidates)
  return found === undefined ? "" : `; did you mean ${found}?`
}
