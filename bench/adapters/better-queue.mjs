/** better-queue on its own store in memory, by callbacks, as it has no promises. */
import Queue from 'better-queue'

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const process = (input, done) => handler(input).then((output) => done(null, output), done)
  const queue = new Queue(process, { concurrent: concurrency })
  return {
    submit: (input) => void queue.push(input),
    onIdle: () => new Promise((resolve) => queue.once('drain', resolve)),
  }
}
