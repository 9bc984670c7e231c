import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    digest: defineTask({ run: ({ user }: { user: string }) => console.log('a digest for', user) }),
  },
})

/** Something has happened: a digest will tell of it at the end of the hour. */
async function happened(user: string, at: Date): Promise<void> {
  const endOfHour = new Date(at).setUTCMinutes(60, 0, 0)
  await runner.submit('digest', { user }, { key: `${user} ${endOfHour}`, runAt: endOfHour })
}

await happened('ada', new Date('2026-01-01T09:15:00Z'))
await happened('ada', new Date('2026-01-01T09:59:59Z'))
await happened('ada', new Date('2026-01-01T10:00:00Z'))
await runner.onIdle()
await runner.close()
