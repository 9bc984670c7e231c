/** Starts now; what it returns tells the CPU time (all threads, GC and compiler too) and the wall time, in µs per unit. */
export function stopwatch() {
  const cpu = process.cpuUsage()
  const start = performance.now()
  return (units = 1) => {
    const wall = (performance.now() - start) * 1_000
    const { user, system } = process.cpuUsage(cpu)
    return { cpu: (user + system) / units, wall: wall / units }
  }
}
