import { BackgroundRunner, defineTask, type ListOptions, type TaskState } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    load: defineTask({
      retry: { attempts: 1 },
      run: (row: { name: string }) => {
        if (row.name === '') throw new Error('a row without a name')
      },
    }),
  },
})

/** All tasks that are asked for, page by page. */
async function* tasksOf(query: ListOptions) {
  let page = await runner.list({ ...query, limit: 1_000 })
  for (;;) {
    yield* page.tasks
    if (page.next === undefined) return
    page = await runner.list({ ...query, limit: 1_000, cursor: page.next })
  }
}

const tags = ['import-17']
const handles = await runner.submitMany('load', [{ name: 'Ada' }, { name: '' }, { name: 'Grace' }], { tags })
await Promise.all(handles.map((handle) => handle.wait()))

const counts: Partial<Record<TaskState, number>> = {}
for await (const { state } of tasksOf({ tags })) counts[state] = (counts[state] ?? 0) + 1
console.log(counts.succeeded, 'of', handles.length)
for await (const { input, error } of tasksOf({ tags, states: ['failed'] })) console.log(input, error?.message)
await runner.close()
