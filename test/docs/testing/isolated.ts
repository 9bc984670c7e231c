import { defineTask } from 'background-runner'
import { runTask } from 'background-runner/testing'

const stamp = defineTask<typeof import('./stamp.js')>({
  isolation: 'process',
  module: new URL('./stamp.js', import.meta.url),
  timeout: '1h',
})

const inline = await runTask(stamp, 2)
console.log(inline.outcome, inline.progress)
const isolated = await runTask(stamp, 3, { isolated: true, attempt: 3 })
console.log(isolated.outcome.type, isolated.progress, isolated.elapsed)
