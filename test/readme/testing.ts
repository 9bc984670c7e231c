import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'

let attempts = 0
const flaky = defineTask({
  retry: { backoff: { type: 'fixed', delay: 1 } },
  run: async () => {
    if (++attempts < 3) throw new Error('not yet')
    return 'done'
  },
})

const runner = new BackgroundRunner({ tasks: { flaky } })
const record = await (await runner.submit('flaky')).wait({ timeout: '5s' })
assert.equal(record.state, 'succeeded')
assert.deepEqual(
  record.attempts.map((each) => each.outcome),
  ['retry', 'retry', 'succeeded'],
)
await runner.close()
