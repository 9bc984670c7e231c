import { Readable } from 'node:stream'
import type { ResolveAttachment } from 'background-runner/email'
import { runTask } from 'background-runner/testing'
import { type Attachment, simpleParser } from 'mailparser'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { arrive, fileServer } from '../support/attachments.js'
import { HELLO, mailTask } from '../support/email.js'
import { post } from '../support/message.js'

describe('a URL', () => {
  it('is fetched for each send anew, with the name and type that it tells', async () => {
    let visits = 0
    const { host, url, requests } = await fileServer((_, response) => {
      visits += 1
      response.setHeader('content-type', 'text/csv; charset=utf-8').end(`visit ${visits}`)
    })
    const { send } = await post({ attachments: { hosts: [host] } })
    for (const visit of ['visit 1', 'visit 2']) {
      const attachments = [{ href: `${url}/a/b%20c.csv?token=1` }]
      const { raw } = await send({ ...HELLO, attachments })
      const [found] = (await simpleParser(Buffer.from(raw, 'latin1'))).attachments
      expect(found).toMatchObject({ filename: 'b c.csv', contentType: 'text/csv' })
      expect(String(found?.content)).toBe(visit)
    }
    expect(requests).toEqual(['/a/b%20c.csv?token=1', '/a/b%20c.csv?token=1'])
  })

  it('whose host tells nonsense of it is named and typed all the same', async () => {
    const { host, url } = await fileServer((_, response) => {
      response.setHeader('content-type', 'multipart/mixed; boundary=x').end('a')
    })
    const [found] = await arrive([{ href: `${url}/%0d%0aBcc:x` }, { href: `${url}/%zz`, filename: 'b.pdf' }], {
      hosts: [host],
    })
    expect(found).toMatchObject({
      filename: expect.stringMatching(/^attachment-1/),
      contentType: 'application/octet-stream',
    })
  })

  it('is followed to where it redirects, if that is allowed too', async () => {
    const { host, url, requests } = await fileServer(({ url: path }, response) => {
      if (path === '/a') response.writeHead(302, { location: '/b' }).end('moved')
      else if (path === '/b') response.writeHead(307, { location: `http://${host}/c` }).end()
      else response.end('content')
    })
    const [found] = await arrive([{ href: `${url}/a` }], { hosts: [host] })
    expect(String(found?.content)).toBe('content')
    expect(requests).toEqual(['/a', '/b', '/c'])
  })

  it('is not followed to another host, nor for ever', async () => {
    const elsewhere = await fileServer((_, response) => response.end('secret'))
    const targets: Record<string, string> = {
      '/host': `${elsewhere.url}/x`,
      '/user': 'http://user:pass@HOST/x',
      '/file': 'file:///etc/passwd',
      '/data': 'data:text/plain,a',
      '/none': 'http://',
      '/loop': '/loop',
    }
    const { host, url, requests } = await fileServer(({ url: path = '' }, response) => {
      response.writeHead(301, { location: targets[path]?.replace('HOST', host) }).end()
    })
    for (const path of Object.keys(targets))
      await expect(arrive([{ href: `${url}${path}` }], { hosts: [host] }), path).rejects.toMatchObject({
        code: 'ATTACHMENT_REFUSED',
      })
    expect(elsewhere.requests).toEqual([])
    expect(requests.filter((path) => path === '/loop')).toHaveLength(6)
  })

  it('is not followed from https to plain http', async () => {
    const location = 'http://files.example.com/b'
    const fetched = vi.fn(async () => new Response(null, { status: 302, headers: { location } }))
    vi.stubGlobal('fetch', fetched)
    onTestFinished(() => void vi.unstubAllGlobals())
    const attachments = [{ href: 'https://files.example.com/a' }]
    await expect(arrive(attachments, { hosts: ['files.example.com'] })).rejects.toMatchObject({
      code: 'ATTACHMENT_REFUSED',
    })
    expect(fetched.mock.calls).toEqual([
      ['https://files.example.com/a', expect.objectContaining({ redirect: 'manual' })],
    ])
  })

  it.each([
    [404, 'failed', 'ATTACHMENT_MISSING'],
    [410, 'failed', 'ATTACHMENT_MISSING'],
    [403, 'retry', 'ATTACHMENT_UNAVAILABLE'],
    [429, 'retry', 'ATTACHMENT_UNAVAILABLE'],
    [500, 'retry', 'ATTACHMENT_UNAVAILABLE'],
    [304, 'retry', 'ATTACHMENT_UNAVAILABLE'],
  ])('that answers %i: %s, %s', async (status, type, code) => {
    const { host, url } = await fileServer((_, response) => response.writeHead(status).end())
    const { email, outbox } = mailTask({ attachments: { hosts: [host] } })
    const { outcome } = await runTask(email, { ...HELLO, attachments: [{ href: `${url}/s3cr3t` }] })
    expect(outcome).toMatchObject({ type, error: { code } })
    expect(JSON.stringify(outcome)).not.toContain('s3cr3t')
    outbox.refuteEmailSent()
  })

  it('that cannot be reached, or breaks off, is tried again', async () => {
    const { host, url, server } = await fileServer((_, response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('half')
      response.destroy()
    })
    const { email } = mailTask({ attachments: { hosts: [host] } })
    const message = { ...HELLO, attachments: [{ href: `${url}/s3cr3t` }] }
    const broken = await runTask(email, message)
    expect(broken.outcome).toMatchObject({ type: 'retry' })
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    const closed = await runTask(email, message)
    expect(closed.outcome).toMatchObject({ type: 'retry', error: { cause: { code: 'ECONNREFUSED' } } })
    expect(JSON.stringify([broken.outcome, closed.outcome])).not.toContain('s3cr3t')
  })

  it('is not read past the limit, whatever it says of its size', async () => {
    let ended = 0
    const { host, url } = await fileServer(({ url: path }, response) => {
      response.on('close', () => {
        ended += 1
      })
      if (path === '/told') response.writeHead(200, { 'content-length': 1_000_000 })
      const chunk = (): void =>
        void (response.destroyed || response.write('a'.repeat(1_000), () => setImmediate(chunk)))
      chunk()
    })
    for (const path of ['/told', '/endless'])
      await expect(arrive([{ href: `${url}${path}` }], { hosts: [host] }, { size: 5_000 }), path).rejects.toMatchObject(
        {
          code: 'MESSAGE_TOO_LARGE',
        },
      )
    await expect.poll(() => ended).toBe(2)
  })

  it('that stalls is let go when the attempt is', async () => {
    const controller = new AbortController()
    const { host, url } = await fileServer((_, response) => {
      response.writeHead(200)
      response.write('half')
      response.on('close', () => closed())
      controller.abort(new Error('enough'))
    })
    let closed = (): void => {}
    const gone = new Promise<void>((resolve) => {
      closed = resolve
    })
    await expect(arrive([{ href: url }], { hosts: [host] }, undefined, controller.signal)).rejects.toThrow('enough')
    await gone
  })
})

describe('a reference', () => {
  const by = (resolve: ResolveAttachment): Promise<Attachment[]> => arrive([{ reference: { id: 7 } }], { resolve })

  it.each<[string, () => ReturnType<ResolveAttachment>]>([
    ['a string', () => 'ä'],
    ['a Buffer', () => Buffer.from('ä')],
    ['bytes', () => new TextEncoder().encode('ä')],
    ['a stream', () => Readable.from([Buffer.from('ä').subarray(0, 1), Buffer.from('ä').subarray(1)])],
    ['a promise', async () => 'ä'],
    ['a content', () => ({ content: 'ä' })],
    ['a content that is a stream', async () => ({ content: Readable.from(['ä']) })],
  ])('gives its content as %s', async (_, give) => {
    const [found] = await by((reference, { signal }) => {
      expect(reference).toEqual({ id: 7 })
      expect(signal.aborted).toBe(false)
      return give()
    })
    expect(String(found?.content)).toBe('ä')
  })

  it('may tell a name and a type, over which the message goes', async () => {
    const resolve = () => ({ content: 'a,b', filename: 'a.csv', contentType: 'text/csv' })
    const found = await arrive([{ reference: 1 }, { reference: 2, filename: 'b.txt', contentType: 'text/plain' }], {
      resolve,
    })
    expect(found.map(({ filename, contentType }) => [filename, contentType])).toEqual([
      ['a.csv', 'text/csv'],
      ['b.txt', 'text/plain'],
    ])
  })

  it.each<[string, () => unknown, string]>([
    ['nothing', () => undefined, 'ATTACHMENT_MISSING'],
    ['null', async () => null, 'ATTACHMENT_MISSING'],
    ['a number', () => 7, 'ATTACHMENT_REFUSED'],
    ['a path', () => ({ path: '/etc/passwd' }), 'ATTACHMENT_REFUSED'],
    ['a name with a line break', () => ({ content: '', filename: 'a\r\nb' }), 'ATTACHMENT_REFUSED'],
    ['a type with a line break', () => ({ content: '', contentType: 'text/x\r\nBcc: a@x' }), 'ATTACHMENT_REFUSED'],
    ['a stream of objects', () => Readable.from([{}]), 'ATTACHMENT_REFUSED'],
    ['too much', () => 'a'.repeat(101), 'MESSAGE_TOO_LARGE'],
    ['too long a stream', () => Readable.from(Array(11).fill('a'.repeat(10))), 'MESSAGE_TOO_LARGE'],
  ])('that gives %s fails the task at once', async (_, give, code) => {
    const resolve = give as ResolveAttachment
    const { email, outbox } = mailTask({ attachments: { resolve }, limits: { size: 100 } })
    const { outcome } = await runTask(email, { ...HELLO, text: '', attachments: [{ reference: 1 }] })
    expect(outcome).toMatchObject({ type: 'failed', error: { code } })
    outbox.refuteEmailSent()
  })

  it('that throws, now or in its stream, is tried again with what was thrown', async () => {
    const failing: ResolveAttachment[] = [
      () => {
        throw new Error('no storage')
      },
      async () => Promise.reject(new Error('no storage')),
      () => Readable.from(broken()),
    ]
    async function* broken(): AsyncGenerator<string> {
      yield 'half'
      throw new Error('no storage')
    }
    for (const resolve of failing) {
      const { email, outbox } = mailTask({ attachments: { resolve } })
      const { outcome } = await runTask(email, { ...HELLO, attachments: [{ reference: 1 }] })
      expect(outcome).toMatchObject({ type: 'retry', error: { message: 'no storage' } })
      outbox.refuteEmailSent()
    }
  })

  it('is let go when the attempt is, and its stream is destroyed', async () => {
    const hanging = new Readable({ read: () => {} })
    const controller = new AbortController()
    const aborted = arrive(
      [{ reference: 1 }],
      {
        resolve: () => {
          queueMicrotask(() => controller.abort(new Error('enough')))
          return hanging
        },
      },
      undefined,
      controller.signal,
    )
    await expect(aborted).rejects.toThrow('enough')
    expect(hanging.destroyed).toBe(true)

    const late = new AbortController()
    let give = (_: Readable): void => {}
    const waiting = arrive(
      [{ reference: 1 }],
      {
        resolve: () => {
          queueMicrotask(() => late.abort(new Error('enough')))
          return new Promise<Readable>((resolve) => {
            give = resolve
          })
        },
      },
      undefined,
      late.signal,
    )
    await expect(waiting).rejects.toThrow('enough')
    const unread = new Readable({ read: () => {} })
    give(unread)
    await expect.poll(() => unread.destroyed).toBe(true)
  })

  it('cannot have more than what the others have left', async () => {
    const sizes: Record<string, number> = { a: 40, b: 40, c: 40 }
    const resolve: ResolveAttachment = (name) => 'a'.repeat(sizes[String(name)] ?? 0)
    const references = ['a', 'b', 'c'].map((reference) => ({ reference }))
    const text = HELLO.text.length
    expect(await arrive(references, { resolve }, { size: 120 + text })).toHaveLength(3)
    await expect(arrive(references, { resolve }, { size: 119 + text })).rejects.toThrow(/^attachments\[2\]: /)
  })
})
