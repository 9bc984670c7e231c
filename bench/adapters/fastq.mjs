/** fastq by its promises: no id, no record, no status, no priority, no retry. The promise of `push` is not kept. */
import fastq from 'fastq'

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const queue = fastq.promise(handler, concurrency)
  return {
    submit: (input) => void queue.push(input),
    onIdle: () => queue.drained(),
  }
}
