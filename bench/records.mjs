/** Tasks that have ended, as a status route shows them. */
import { library } from './library.mjs'

const TASKS = 1_000

export async function filledRunner() {
  const { BackgroundRunner, defineTask } = await import(library)
  const runner = new BackgroundRunner({
    tasks: { note: defineTask({ run: async ({ user }) => ({ messageId: `<${user}@example.com>` }) }) },
  })
  const inputs = Array.from({ length: TASKS }, (_, user) => ({ user, template: 'welcome', to: `${user}@example.com` }))
  const handles = await runner.submitMany('note', inputs)
  await runner.onIdle()
  return { runner, ids: handles.map(({ id }) => id) }
}

export async function records() {
  const { runner, ids } = await filledRunner()
  return Promise.all(ids.map((id) => runner.status(id)))
}
