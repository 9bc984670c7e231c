/** A mail's task on the dashboard. */
import type { Json, TaskRecord } from 'background-runner'
import { describe, expect, it } from 'vitest'
import { mailOf, recipientsOf } from '../../src/http/dashboard/mail.js'

const record = (more: Partial<TaskRecord>): TaskRecord => ({
  id: 'a',
  name: 'email',
  state: 'failed',
  attempt: 1,
  maxAttempts: 3,
  priority: 0,
  createdAt: 0,
  runAt: 0,
  attempts: [],
  ...more,
})
const rejected = {
  recipients: { 'a@example.com': { status: 'rejected', code: '550', enhancedCode: '5.1.1', response: 'no' } },
}
const ROW = { address: 'a@example.com', status: 'rejected', code: '550 5.1.1', response: 'no' }

describe('the recipients', () => {
  it('are told by the output, the error, its cause, or an attempt', () => {
    const error = { name: 'E', message: 'm' }
    expect(recipientsOf(record({ output: rejected }))).toEqual([ROW])
    expect(recipientsOf(record({ error: { ...error, details: rejected } }))).toEqual([ROW])
    expect(recipientsOf(record({ error: { ...error, cause: { ...error, details: rejected } } }))).toEqual([ROW])
    const attempts = [{ number: 1, startedAt: 0, error: { ...error, details: rejected } }]
    expect(recipientsOf(record({ attempts, state: 'running' }))).toEqual([ROW])
  })

  it.each([undefined, null, 'x', [], {}, { recipients: [] }, { recipients: 'all' }])('are not told by %j', (output) =>
    expect(recipientsOf(record(output === undefined ? {} : { output: output as Json }))).toBeUndefined(),
  )

  it('are told though half of it is strange', () => {
    expect(recipientsOf(record({ output: { recipients: { b: 7, c: { status: 1, code: [] } } } }))).toEqual([
      { address: 'b', status: 'unknown', code: '', response: '' },
      { address: 'c', status: '1', code: '', response: '' },
    ])
  })
})

describe('a mail', () => {
  it('has its headers, its parts and the names of what is attached', () => {
    const mail = mailOf({
      to: ['a@example.com', { name: 'B', address: 'b@example.com' }],
      replyTo: 'c@example.com',
      subject: 'Hi',
      text: 'yo',
      html: '<p>yo',
      attachments: [{ filename: 'a.pdf' }, {}],
    })
    expect(mail).toEqual({
      headers: [
        ['To', 'a@example.com, B <b@example.com>'],
        ['Reply to', 'c@example.com'],
        ['Subject', 'Hi'],
        ['Attachments', 'a.pdf, unnamed'],
      ],
      text: 'yo',
      html: true,
    })
  })

  it.each([undefined, null, 'x', [], {}, { subject: 'x' }, { to: 'a@example.com' }, { to: 'a', subject: 1 }])(
    'is not %j',
    (input) => expect(mailOf(input as Json | undefined)).toBeUndefined(),
  )
})
