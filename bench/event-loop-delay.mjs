import { monitorEventLoopDelay } from 'node:perf_hooks'

/** How late the event loop is, in ms, while `tasks` no-ops are worked off that have been submitted before: p99, and the longest. */
export async function delayWhileDraining({ runner, submit, onIdle }, tasks) {
  await runner.pause()
  const submitted = []
  for (let i = 0; i < tasks; i++) submitted.push(submit({ user: i, template: 'welcome' }))
  await Promise.all(submitted)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await runner.resume()
  await onIdle()
  delay.disable()
  const { succeeded } = await runner.counts()
  if (succeeded !== tasks) throw new Error(`${succeeded} of ${tasks} succeeded`)
  await runner.close()
  return { value: delay.percentile(99) / 1e6, most: delay.max / 1e6 }
}
