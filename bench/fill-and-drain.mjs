import { stopwatch } from './stopwatch.mjs'

/** Submits `tasks` no-ops, waits until all have run, and checks that they did. µs a task. */
export async function fillAndDrain(adapter, { tasks, awaited = false, priority, ...options }) {
  const { createRunner, durability } = await import(`./adapters/${adapter}.mjs`)
  let ran = 0
  const handler = async () => {
    ran++
  }
  const { runner, submit, onIdle } = createRunner({ ...options, handler })
  const read = stopwatch()
  for (let i = 0; i < tasks; i++) {
    const input = { user: i, template: 'welcome' }
    const submitted = priority === undefined ? submit(input) : submit(input, { priority: priority() })
    if (awaited) await submitted
  }
  await onIdle()
  const spent = read(tasks)
  const counts = await runner?.counts?.()
  if (ran !== tasks || (counts && counts.succeeded !== tasks)) throw new Error(`${adapter}: ${ran} of ${tasks} ran`)
  return { ...spent, durability }
}
