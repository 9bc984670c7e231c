/** As many loops as may run at once, over one array: the least that one can write. */

export const durability = 'none'

export function createRunner({ handler = async () => {}, concurrency = 10 } = {}) {
  const waiting = []
  return {
    submit: (input) => void waiting.push(input),
    onIdle: async () => {
      const inputs = waiting.splice(0).values()
      const lane = async () => {
        for (const input of inputs) await handler(input)
      }
      await Promise.all(Array.from({ length: concurrency }, lane))
    },
  }
}
