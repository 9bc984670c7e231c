/** Loaded before each server that is measured: tells its CPU time, and ends it when whoever started it is gone. */

// Whoever listens first gets what was said before: a worker of the server's must hear that itself.
if (process.env.TINYPOOL_WORKER_ID === undefined) {
  process.on('message', (question) => {
    if (question !== 'cpu') return
    const { user, system } = process.cpuUsage()
    process.send(user + system)
  })
  process.on('disconnect', () => process.exit())
}
