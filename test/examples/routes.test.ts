/** What the routes of both examples answer; the mails of these tests go to the examples' own catcher. */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { FRAMEWORKS, MAIL, startInProcess } from './support.js'

describe.each(FRAMEWORKS)('the %s example', (framework) => {
  it('welcomes', async () => {
    const example = await startInProcess(framework)
    const { status, headers, text } = await example.ask('/')
    expect(status).toBe(200)
    expect(headers.get('content-type')).toContain('text/plain')
    expect(text).toContain('Welcome')
  })

  it('accepts a mail as JSON, tells its status, and delivers it', async () => {
    const example = await startInProcess(framework)
    const { status, headers, json } = await example.sendJson(MAIL)
    expect(status).toBe(202)
    expect(json).toEqual({ task_id: expect.any(String) })
    expect(headers.get('location')).toBe(`/task_status/${json.task_id}`)

    await example.runner.wait(json.task_id)
    const answer = await example.ask(headers.get('location') as string)
    expect(answer.status).toBe(200)
    expect(answer.json).toEqual({ task_id: json.task_id, status: 'succeeded', attempt: 1 })
    const outbox = await example.ask('/outbox')
    expect(outbox.json).toEqual([
      {
        from: 'app@example.com',
        to: [MAIL.recipient],
        subject: MAIL.subject,
        content: MAIL.content,
        message_id: expect.stringMatching(/^<.+@.+>$/),
        received_at: expect.any(String),
      },
    ])
  })

  it('accepts a mail as a form, in both ways in which browsers send one', async () => {
    const example = await startInProcess(framework)
    const odd = { recipient: 'ada+1@example.com', subject: 'Grüße & 100 %', content: 'a=1&b=2\nzwei\n😀' }
    const first = await example.sendForm(odd)
    expect(first.status).toBe(202)
    await example.runner.wait(first.json.task_id)

    const multipart = new FormData()
    for (const [field, value] of Object.entries(odd)) multipart.append(field, value)
    const second = await example.ask('/send_email', { method: 'POST', body: multipart })
    expect(second.status).toBe(202)
    await example.runner.wait(second.json.task_id)

    const mail = { to: [odd.recipient], subject: odd.subject, content: odd.content }
    const outbox = await example.ask('/outbox')
    expect(outbox.json).toEqual([expect.objectContaining(mail), expect.objectContaining(mail)])
  })

  it('shows the newest mail first in the outbox', async () => {
    const example = await startInProcess(framework)
    for (const subject of ['one', 'two', 'three']) await example.runner.wait(await example.accepted({ subject }))
    const { json } = await example.ask('/outbox')
    expect(json.map((mail: { subject: string }) => mail.subject)).toEqual(['three', 'two', 'one'])
  })

  it('has no outbox where mails go to a real server', async () => {
    const example = await startInProcess(framework, { smtpUrl: 'smtp://127.0.0.1:9' })
    expect((await example.ask('/outbox')).status).toBe(404)
  })

  it('answers 404 for an unknown id, whatever is asked of it', async () => {
    const example = await startInProcess(framework)
    for (const id of ['nobody', '%zz', '__proto__', 'x'.repeat(500)]) {
      const answers = [
        await example.ask(`/task_status/${id}`),
        await example.post(`/task_status/${id}/cancel`),
        await example.post(`/task_status/${id}/retry`),
      ]
      for (const { status, json } of answers) {
        expect(status).toBe(404)
        expect(json).toEqual({ error: expect.any(String) })
      }
    }
  })

  it('answers an unknown route in JSON', async () => {
    const example = await startInProcess(framework)
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['GET', '/send_email'],
      ['POST', '/'],
      ['POST', '/send_email/'],
      ['POST', '/SEND_EMAIL'],
      ['OPTIONS', '/send_email'],
      ['DELETE', '/task_status/x'],
    ] as const) {
      const { status, json } = await example.ask(path, { method })
      expect([method, path, status]).toEqual([method, path, 404])
      expect(json).toEqual({ error: expect.any(String) })
    }
  })

  describe('bad input', () => {
    const fieldsOf = async (framework: (typeof FRAMEWORKS)[number], body: unknown) => {
      const example = await startInProcess(framework)
      const { status, json } = await example.sendJson(body)
      expect(status).toBe(400)
      expect(json).toEqual({ error: 'invalid input', fields: expect.any(Object) })
      for (const reason of Object.values(json.fields)) expect(reason).toEqual(expect.stringMatching(/\S/))
      expect((await example.runner.list()).tasks).toEqual([])
      return Object.keys(json.fields).sort()
    }

    it('names every field that is missing', async () => {
      expect(await fieldsOf(framework, {})).toEqual(['content', 'recipient', 'subject'])
      expect(await fieldsOf(framework, '')).toEqual(['content', 'recipient', 'subject'])
      for (const field of ['recipient', 'subject', 'content'])
        for (const empty of [undefined, '', '  \t'])
          expect(await fieldsOf(framework, { ...MAIL, [field]: empty })).toEqual([field])
      expect(await fieldsOf(framework, { recipient: 'nobody' })).toEqual(['content', 'recipient', 'subject'])
    })

    it('takes a path as it was sent: dots lead to no other route', async () => {
      const example = await startInProcess(framework)
      for (const path of [
        '/task_status/%2e%2e',
        '/task_status/..',
        '/outbox/%2e%2e',
        '/./outbox',
        '/%6futbox',
        '/x/../outbox',
      ]) {
        const [response] = (await once(get(example.url, { path }), 'response')) as [IncomingMessage]
        response.resume()
        expect([path, response.statusCode]).toEqual([path, 404])
      }
    })

    it('names every field of a wrong type', async () => {
      expect(await fieldsOf(framework, { recipient: 1, subject: null, content: { a: 1 } })).toEqual([
        'content',
        'recipient',
        'subject',
      ])
      for (const field of ['recipient', 'subject', 'content'])
        for (const value of [null, 7, true, [], ['b@example.com'], {}, { name: 'B', address: 'b@example.com' }])
          expect(await fieldsOf(framework, { ...MAIL, [field]: value })).toEqual([field])
    })

    it('names a recipient that is no single address', async () => {
      for (const recipient of [
        '',
        ' ',
        'ada',
        '@example.com',
        'a@example.com, b@example.com',
        'a@example.com b@example.com',
      ])
        expect(await fieldsOf(framework, { ...MAIL, recipient })).toEqual(['recipient'])
    })

    it('names a field that would add a header or a recipient, and nobody gets a mail', async () => {
      const example = await startInProcess(framework)
      const injected = 'x@example.com\r\nBcc: evil@example.com'
      for (const lineBreak of ['\r\n', '\n', '\r']) {
        for (const [field, value] of [
          ['recipient', injected.replace('\r\n', lineBreak)],
          ['subject', `Hello${lineBreak}Bcc: evil@example.com`],
        ] as const) {
          for (const answer of [
            await example.sendJson({ ...MAIL, [field]: value }),
            await example.sendForm({ ...MAIL, [field]: value }),
          ]) {
            expect(answer.status).toBe(400)
            expect(Object.keys(answer.json.fields)).toEqual([field])
          }
        }
      }
      // A good mail afterwards is the only one that arrives.
      await example.runner.wait(await example.accepted())
      const { json } = await example.ask('/outbox')
      expect(json.map((mail: { to: string[] }) => mail.to)).toEqual([[MAIL.recipient]])
    })

    it('lists problems of different kinds together', async () => {
      const body = { recipient: 'x@example.com\r\nBcc: evil@example.com', subject: 'a\r\nb' }
      expect(await fieldsOf(framework, body)).toEqual(['content', 'recipient', 'subject'])
      expect(await fieldsOf(framework, { recipient: ['a@example.com'], subject: 'a\nb', content: '' })).toEqual(
        expect.arrayContaining(['recipient', 'subject']),
      )
    })

    it('refuses a form in which a field stands twice, rather than choose one', async () => {
      const example = await startInProcess(framework)
      const twice = await example.sendForm('recipient=a@example.com&recipient=b@example.com&subject=s&content=c')
      expect(twice.status).toBe(400)
      expect(Object.keys(twice.json.fields)).toEqual(['recipient'])
    })
  })

  it('answers 400 for a body that cannot be read', async () => {
    const example = await startInProcess(framework)
    const answers = [
      ...(await Promise.all(['{', '{"recipient":', 'null', '[]', '"text"', '5'].map((body) => example.sendJson(body)))),
      ...(await Promise.all(['recipient=%zz', 'recipient=%E4', 'recipient=%'].map((body) => example.sendForm(body)))),
      await example.sendJson('--x\r\nContent-Disposition', 'multipart/form-data; boundary=x'),
      await example.sendJson('recipient=a', 'multipart/form-data'),
      await example.ask('/send_email', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]),
      }),
    ]
    for (const { status, json } of answers) {
      expect(status).toBe(400)
      expect(json).toEqual({ error: expect.any(String) })
    }
  })

  it('answers 415 for a body of another type', async () => {
    const example = await startInProcess(framework)
    for (const type of ['text/plain', 'application/xml', 'nonsense']) {
      const { status, json } = await example.sendJson(JSON.stringify(MAIL), type)
      expect(status).toBe(415)
      expect(json).toEqual({ error: expect.any(String) })
    }
    const packed = await example.ask('/send_email', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: JSON.stringify(MAIL),
    })
    expect(packed.status).toBe(415)
  })

  it('takes a type with parameters, in any case', async () => {
    const example = await startInProcess(framework)
    const { status } = await example.sendJson(MAIL, 'Application/JSON; charset=utf-8')
    expect(status).toBe(202)
  })

  it('answers 413 for a body that is too large, also where its length is not announced', async () => {
    const example = await startInProcess(framework)
    const large = JSON.stringify({ ...MAIL, content: 'x'.repeat(300_000) })
    const announced = await example.sendJson(large)
    const streamed = await example.ask('/send_email', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Blob([large]).stream(),
      duplex: 'half',
    })
    for (const { status, json } of [announced, streamed]) {
      expect(status).toBe(413)
      expect(json).toEqual({ error: expect.any(String) })
    }
    expect((await example.sendJson(MAIL)).status).toBe(202)
  })

  it('goes on when a client hangs up in the middle of a body', async () => {
    const example = await startInProcess(framework)
    const { hostname, port } = new URL(example.url)
    const socket = connect(Number(port), hostname)
    socket.write(
      'POST /send_email HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{',
    )
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.destroy()
    expect((await example.sendJson(MAIL)).status).toBe(202)
  })

  it('answers 503 with Retry-After when too many mails wait, and keeps those', async () => {
    const example = await startInProcess(framework, { maxPending: 2 })
    await example.runner.pause()
    const ids = [await example.accepted(), await example.accepted()]
    const full = await example.sendJson(MAIL)
    expect(full.status).toBe(503)
    expect(full.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(full.json).toEqual({ error: expect.any(String) })
    await example.runner.resume()
    for (const id of ids) expect((await example.runner.wait(id)).state).toBe('succeeded')
    expect((await example.ask('/outbox')).json).toHaveLength(2)
  })

  it('answers 503 with Retry-After when a mail cannot be kept, and the log says why', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    onTestFinished(() => {
      logged.mockRestore()
      warned.mockRestore()
    })
    const example = await startInProcess(framework, { databasePath: '/no/such/folder/tasks.db' })
    const { status, headers, json } = await example.sendJson(MAIL)
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toMatch(/^\d+$/)
    expect(json).toEqual({ error: expect.not.stringContaining('folder') })
    expect(logged).toHaveBeenCalledWith(expect.objectContaining({ code: 'ENGINE_ERROR' }))
  })

  it('answers 503 when the runner is closed', async () => {
    const example = await startInProcess(framework)
    const id = await example.accepted()
    await example.runner.close()
    const answers = [
      await example.sendJson(MAIL),
      await example.ask(`/task_status/${id}`),
      await example.post(`/task_status/${id}/cancel`),
      await example.post(`/task_status/${id}/retry`),
    ]
    for (const { status, json } of answers) {
      expect(status).toBe(503)
      expect(json).toEqual({ error: expect.any(String) })
    }
  })

  it('cancels a mail that waits, sends it again on retry, and answers 409 where the state forbids it', async () => {
    const example = await startInProcess(framework)
    await example.runner.pause()
    const id = await example.accepted()
    expect(await example.status(id)).toEqual({ task_id: id, status: 'queued', attempt: 0 })
    const early = await example.post(`/task_status/${id}/retry`)
    expect(early.status).toBe(409)
    expect(early.json).toEqual({ error: expect.any(String) })

    const cancelled = await example.post(`/task_status/${id}/cancel`)
    expect(cancelled.status).toBe(200)
    expect(cancelled.json).toMatchObject({ task_id: id, status: 'cancelled', attempt: 0 })
    expect((await example.post(`/task_status/${id}/cancel`)).status).toBe(409)

    const retried = await example.post(`/task_status/${id}/retry`)
    expect(retried.status).toBe(200)
    expect(retried.json).toMatchObject({ task_id: id, status: 'queued' })
    await example.runner.resume()
    await example.runner.wait(id)
    expect(await example.status(id)).toEqual({ task_id: id, status: 'succeeded', attempt: 1 })
    expect((await example.post(`/task_status/${id}/cancel`)).status).toBe(409)
    expect((await example.post(`/task_status/${id}/retry`)).status).toBe(409)
    expect((await example.ask('/outbox')).json).toHaveLength(1)
  })

  it('says of 80 mails that all succeeded, also when asked twice', async () => {
    const example = await startInProcess(framework, { concurrency: 10 })
    const ids = await Promise.all(Array.from({ length: 80 }, (_, i) => example.accepted({ subject: `mail ${i}` })))
    await example.runner.onIdle()
    for (let round = 0; round < 2; round++) {
      const statuses = await Promise.all(ids.map((id) => example.status(id)))
      expect(statuses).toEqual(ids.map((id) => ({ task_id: id, status: 'succeeded', attempt: 1 })))
    }
    const { json } = await example.ask('/outbox')
    expect(new Set(json.map((mail: { subject: string }) => mail.subject)).size).toBe(80)
    expect(json).toHaveLength(80)
  })
})
