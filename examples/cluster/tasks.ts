/** The runner of every process of the cluster: the same line for all, but for whether it works. */
import { BackgroundRunner, type TaskDefinition } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'

export function createRunner(work: boolean): BackgroundRunner<{ email: TaskDefinition<EmailMessage, EmailResult> }> {
  return new BackgroundRunner({
    tasks: {
      email: emailTask({ transport: process.env['SMTP_URL'] as string, from: 'Cluster <cluster@example.com>' }),
    },
    engine: bullmq({
      connection: process.env['REDIS_URL'] as string,
      name: process.env['NAME'] as string,
      lease: '3s', // so that it is soon seen that a worker is gone
    }),
    work,
  })
}
