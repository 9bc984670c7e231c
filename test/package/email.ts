/** As core.ts, with the sub-path that shares the core's errors. */
import { rejects, throws } from 'node:assert/strict'
import { BackgroundRunner, InvalidInputError } from 'background-runner'
import { type EmailMessage, emailTask } from 'background-runner/email'

export async function run(): Promise<void> {
  // The very class of the core's entry, thrown by this one: the entries do not each carry their own.
  throws(() => emailTask({ transport: 'nowhere', from: 'app@example.com' }), InvalidInputError)

  const email = emailTask({ transport: 'smtp://127.0.0.1:9', from: 'App <app@example.com>' })
  const runner = new BackgroundRunner({ tasks: { email } })
  const message: EmailMessage = { to: 'nobody', subject: 'Hi', text: 'Hello' }
  await rejects(runner.submit('email', message), InvalidInputError)
  // @ts-expect-error A message needs a recipient.
  await rejects(runner.submit('email', { subject: 'Hi', text: 'Hello' }), InvalidInputError)
  await runner.close()
}
