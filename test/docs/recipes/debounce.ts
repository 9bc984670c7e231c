import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    index: defineTask({ run: ({ page, text }: { page: string; text: string }) => console.log('index', page, text) }),
  },
})

/** Indexes what was written last, once nothing has been written for a while. */
async function indexSoon(page: string, text: string): Promise<void> {
  const tag = `page-${page}`
  const { tasks } = await runner.list({ names: ['index'], tags: [tag], states: ['queued', 'scheduled'] })
  for (const { id } of tasks) {
    await runner.cancel(id, { reason: 'it was written again' }).catch((error) => {
      if (error.code !== 'INVALID_STATE') throw error // it has just ended
    })
  }
  await runner.submit('index', { page, text }, { tags: [tag], delay: '100ms' })
}

await indexSoon('home', 'W')
await indexSoon('home', 'Wel')
await indexSoon('home', 'Welcome')
await runner.onIdle()
console.log(await runner.counts().then(({ succeeded, cancelled }) => ({ succeeded, cancelled })))
await runner.close()
