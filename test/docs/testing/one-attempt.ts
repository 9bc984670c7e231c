import { defineTask } from 'background-runner'
import { runTask } from 'background-runner/testing'

const print = defineTask({
  retry: { attempts: 3, backoff: { type: 'fixed', delay: '5s' } },
  run: async (pages: number, { saved, progress, save }) => {
    for (let page = Number(saved ?? 0) + 1; page <= pages; page++) {
      if (page === 13) throw new Error('page 13 is missing')
      progress(page)
      await save(page)
    }
    return 'printed'
  },
})

console.log(await runTask(print, 3, { attempt: 2, saved: 1 }))
const { outcome } = await runTask(print, 13, { attempt: 3, saved: 12 })
console.log(outcome.type)
