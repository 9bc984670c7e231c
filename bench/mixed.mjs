import { stopwatch } from './stopwatch.mjs'

/** Of each ten: one waits for some ms, one fails once, one has a key that its neighbour has as well, the others do nothing. */
const KINDS = ['delayed', 'failing', 'keyed', 'keyed', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain']
const SOON = '20ms'
const OPTIONS = {
  delayed: () => ({ delay: SOON }),
  failing: () => ({ retry: { attempts: 3, backoff: { type: 'fixed', delay: SOON } } }),
  keyed: (i) => ({ key: `key-${Math.floor(i / KINDS.length)}` }),
  plain: () => undefined,
}

/**
 * Submits `tasks` in one burst to a runner of the library, waits until all have run, and checks that each did as it should.
 * µs a submit.
 *
 * @param create makes a runner with what it is given @param plain none of them does anything
 */
export async function mixed(create, { tasks, plain = false }) {
  let attempts = 0
  const handler = async ({ kind }, { attempt }) => {
    attempts++
    if (kind === 'failing' && attempt === 1) throw new Error('once')
  }
  // A key is known as long as its task is kept: all are.
  const { runner, submit, onIdle } = await create({ handler, retention: { count: tasks } })
  const read = stopwatch()
  const submitted = []
  for (let i = 0; i < tasks; i++) {
    const kind = plain ? 'plain' : KINDS[i % KINDS.length]
    submitted.push(submit({ user: i, kind }, OPTIONS[kind](i)))
  }
  await Promise.all(submitted)
  await onIdle()
  const spent = read(tasks)
  const doubles = plain ? 0 : tasks / KINDS.length // and as many fail once
  const { succeeded } = await runner.counts()
  if (succeeded !== tasks - doubles || attempts !== tasks)
    throw new Error(`${attempts} attempts, ${succeeded} of ${tasks} tasks succeeded`)
  await runner.close()
  return spent
}
