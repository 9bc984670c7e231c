/** Loaded before each server that is measured: tells its CPU time, and ends it when whoever started it is gone. */
process.on('message', (question) => {
  if (question !== 'cpu') return
  const { user, system } = process.cpuUsage()
  process.send(user + system)
})
process.on('disconnect', () => process.exit())
