/** The handler of the mass test: most do their work; some take their worker down. */
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as deeds from './deeds.js'

export async function run({ deed, n, path }, ctx) {
  switch (deed) {
    case 'add':
      return { n, sum: n + n }
    case 'rest':
      await sleep(n % 5)
      return { n, sum: n + n }
    case 'compute': {
      let sum = 0
      for (let i = 0; i < 100_000; i++) sum = (sum + i * n) % 1_000_003
      return { n, sum: n + n, waste: sum < 0 }
    }
    case 'tell':
      for (let i = 0; i < 20; i++) ctx.progress({ n, i })
      ctx.log('at work', { n })
      await ctx.save({ n })
      return { n, sum: ctx.saved.n + n }
    case 'big':
      return { n, sum: n + n, text: 'x'.repeat(50_000) }
    /** Goes on until all that are to run at once do. */
    case 'meet':
      ctx.progress('here')
      while (!existsSync(path)) await sleep(5)
      return { n, sum: n + n }
    default:
      return Reflect.get(deeds, deed)(n, ctx)
  }
}
