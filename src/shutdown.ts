/** The end of a runner: how long it waits, and for whom. */
import { after, type Clock } from './clock.js'
import type { Engine, StopReport } from './engine.js'
import type { Work } from './work.js'

/** What handlers get after the deadline to notice that they are asked to stop, ms. */
const GRACE = 1_000

/** @param deadline ms */
export async function stopWork(engine: Engine, clock: Clock, deadline: number, drain: boolean): Promise<StopReport> {
  const [deadlineSignal, cancelDeadline] = signalAfter(clock, deadline)
  const [giveUp, cancelGiveUp] = signalAfter(clock, deadline + GRACE)
  try {
    return await engine.stop({ drain, deadline: deadlineSignal, giveUp })
  } finally {
    cancelDeadline()
    cancelGiveUp()
  }
}

/** Ends what `setup` began, all at once; one that fails or hangs is reported and keeps nobody waiting. */
export async function tearDown(
  works: Iterable<Work>,
  clock: Clock,
  deadline: number,
  report: (error: unknown) => void,
): Promise<void> {
  const limit = Math.max(deadline, GRACE)
  const [late, cancelLate] = signalAfter(clock, limit)
  const all = Promise.all([...works].map((work) => work.tearDown().catch(report)))
  const gaveUp = new Promise<void>((resolve) => {
    late.addEventListener('abort', () => {
      report(new Error(`a teardown did not end within ${limit} ms`))
      resolve()
    })
  })
  await Promise.race([all, gaveUp])
  cancelLate()
}

function signalAfter(clock: Clock, ms: number): [AbortSignal, () => void] {
  const controller = new AbortController()
  const alarm = after(clock, ms, () => controller.abort())
  return [controller.signal, () => alarm.cancel()]
}
