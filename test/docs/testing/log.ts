import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'

const deliver = defineTask({
  retry: { attempts: 2, backoff: { type: 'fixed', delay: '5m' } },
  run: (_parcel: string, { attempt }) => {
    if (attempt === 1) throw Object.assign(new Error('nobody is at home'), { code: 'NOBODY' })
  },
})

const { runner, clock, log } = createTestRunner({ tasks: { deliver } })
await runner.submit('deliver', 'books')
await runner.submit('deliver', 'cake', { delay: '1h' })
await clock.advance('10m')
console.log(String(log))
