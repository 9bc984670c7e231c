/** p-limit as it is mostly used: all promises are kept, and awaited together. No id, no record, no priority, no retry. */
import pLimit from 'p-limit'

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const limit = pLimit(concurrency)
  const promises = []
  return {
    submit: (input) => void promises.push(limit(handler, input)),
    onIdle: () => Promise.all(promises.splice(0)),
  }
}
