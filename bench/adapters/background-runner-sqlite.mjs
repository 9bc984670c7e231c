/** The library on its embedded engine. */
import { library, sqlite as sqliteUrl } from '../library.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const { sqlite } = await import(sqliteUrl.href)

export const durability = ['process', 'power']

export async function createRunner({ path, durability, handler = async () => {}, ...options }) {
  const runner = new BackgroundRunner({
    tasks: { task: defineTask({ run: handler }) },
    engine: sqlite({ path, durability }),
    concurrency: 10,
    ...options,
  })
  await runner.ready()
  return {
    runner,
    submit: (input, options) => runner.submit('task', input, options),
    onIdle: () => runner.onIdle(),
    succeeded: async () => (await runner.counts()).succeeded,
    close: () => runner.close(),
  }
}
