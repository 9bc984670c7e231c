/**
 * Bare p-queue, one entry a task: no id, no record, no status, no events of a task, no retry. The promise of `add` is not
 * kept, which is the fastest way to use it.
 */
import PQueue from 'p-queue'

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const queue = new PQueue({ concurrency })
  return {
    queue,
    submit: (input, options) => void queue.add(() => handler(input), options),
    onIdle: () => queue.onIdle(),
  }
}
