import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    primes: defineTask<typeof import('./primes.js')>({
      isolation: 'thread', // or 'process', or 'inline': on the event loop, as any other task
      module: new URL('./primes.js', import.meta.url),
      memory: '256MB',
      timeout: '1m',
    }),
  },
})

const counting = await runner.submit('primes', 1_000_000)
let turns = 0
const counter = setInterval(() => turns++)
console.log(await counting.result(), 'primes, and meanwhile the event loop was', turns > 10 ? 'free' : 'held')
clearInterval(counter)
await runner.close()
