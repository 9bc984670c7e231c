export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function sum(values) {
  return values.reduce((sum, value) => sum + value, 0)
}

/** The median and the extremes. */
export function summary(values) {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) }
}

export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1]
}
