import { type FileHandle, mkdir, open, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { runTask } from 'background-runner/testing'
import { simpleParser } from 'mailparser'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { openSource } from '../../src/email/contents.js'
import { arrive, folder, never } from '../support/attachments.js'
import { HELLO, mailTask } from '../support/email.js'
import { post, rulesOf } from '../support/message.js'
import type { SmtpServer } from '../support/smtp-server.js'

describe('a file', () => {
  it('below the root is read for each send anew', async () => {
    const root = await folder({ 'a b.txt': 'one' })
    await mkdir(join(root, 'deep'))
    await writeFile(join(root, 'deep', 'ä.pdf'), Buffer.alloc(200_000, 7))
    const { send } = await post({ attachments: { root } })
    const read = async (): Promise<string[]> => {
      const { raw } = await send({
        ...HELLO,
        attachments: [{ path: 'a b.txt' }, { path: 'deep/ä.pdf', filename: 'b.bin' }],
      })
      const { attachments } = await simpleParser(Buffer.from(raw, 'latin1'))
      expect(attachments.map(({ filename, contentType }) => [filename, contentType])).toEqual([
        ['a b.txt', 'text/plain'],
        ['b.bin', 'application/octet-stream'],
      ])
      expect(attachments[1]?.content.equals(Buffer.alloc(200_000, 7))).toBe(true)
      return attachments.slice(0, 1).map(({ content }) => String(content))
    }
    expect(await read()).toEqual(['one'])
    await writeFile(join(root, 'a b.txt'), 'two')
    expect(await read()).toEqual(['two'])
  })

  it('may be reached by links that stay below the root, which may be a link itself', async () => {
    const root = await folder({ a: 'content' })
    const linked = join(await folder(), 'root')
    await symlink(root, linked)
    await symlink(join(root, 'a'), join(root, 'link'))
    const [found] = await arrive([{ path: 'link', contentType: 'text/plain' }], { root: linked })
    expect(String(found?.content)).toBe('content')
  })

  it.each<[string, (root: string) => Promise<unknown>, string]>([
    ['that is not there', async () => {}, 'ATTACHMENT_MISSING'],
    ['below what is no folder', (root) => writeFile(join(root, 'x'), ''), 'ATTACHMENT_MISSING'],
    [
      'that is a link out of the root',
      async (root) => symlink(join(await folder({ s: '' }), 's'), join(root, 'x')),
      'ATTACHMENT_REFUSED',
    ],
    ['that is a link to what is above', (root) => symlink('..', join(root, 'x')), 'ATTACHMENT_REFUSED'],
    ['that is a link to itself', (root) => symlink('x', join(root, 'x')), 'ATTACHMENT_REFUSED'],
    ['that is a folder', (root) => mkdir(join(root, 'x')), 'ATTACHMENT_REFUSED'],
    ['that is a device', (root) => symlink('/dev/zero', join(root, 'x')), 'ATTACHMENT_REFUSED'],
    ['that is too large', (root) => writeFile(join(root, 'x'), 'a'.repeat(101)), 'MESSAGE_TOO_LARGE'],
  ])('%s fails the task at once, and is not named', async (what, make, code) => {
    const root = await folder()
    await make(root)
    const path = what.includes('below') ? 'x/y' : 'x'
    const { email, outbox } = mailTask({ attachments: { root }, limits: { size: 100 } })
    const { outcome } = await runTask(email, { ...HELLO, text: '', attachments: [{ path }] })
    expect(outcome).toMatchObject({ type: 'failed', error: { code } })
    expect(JSON.stringify(outcome)).not.toContain(root)
    outbox.refuteEmailSent()
  })

  it('in a folder that is a link out of the root fails as well', async () => {
    const root = await folder()
    await symlink(await folder({ secret: 's' }), join(root, 'x'))
    await expect(arrive([{ path: 'x/secret' }], { root })).rejects.toMatchObject({ code: 'ATTACHMENT_REFUSED' })
  })

  it('below a root that is not there yet is tried again', async () => {
    const root = join(await folder(), 'later')
    const { email } = mailTask({ attachments: { root } })
    const { outcome } = await runTask(email, { ...HELLO, attachments: [{ path: 'a' }] })
    expect(outcome).toMatchObject({ type: 'retry', error: { code: 'ATTACHMENT_UNAVAILABLE' } })
    expect(JSON.stringify(outcome)).not.toContain(root)
  })
})

/** How many of the files that are opened from now on are still open. */
async function watchOpen(path: string): Promise<() => number> {
  const handle = await open(path)
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const looks = vi.spyOn(prototype, 'stat') // which every opened file gets
  onTestFinished(() => void vi.restoreAllMocks())
  return () => {
    const opened = new Set(looks.mock.contexts as unknown as FileHandle[])
    expect(opened.size).toBeGreaterThan(0)
    return [...opened].filter(({ fd }) => fd >= 0).length
  }
}

describe('a file that is read while it is sent', () => {
  it.each<[string, (server: SmtpServer, abort: () => void) => void]>([
    [
      'the server leaves',
      ({ hooks }) => {
        hooks.data = () => ({ reply: '354 go on', drop: true })
      },
    ],
    [
      'the server refuses',
      ({ hooks }) => {
        hooks.data = () => '554 no'
      },
    ],
    [
      'the attempt is given up',
      ({ hooks }, abort) => {
        hooks.end = () => {
          setImmediate(abort)
          return { hang: true }
        }
      },
    ],
  ])('is closed when %s', async (_, misbehave) => {
    const root = await folder()
    const path = join(root, 'a.bin')
    await writeFile(path, Buffer.alloc(8_000_000))
    const leftOpen = await watchOpen(path)
    const controller = new AbortController()
    const { send, server } = await post({ attachments: { root }, signal: controller.signal })
    misbehave(server, () => controller.abort())
    await expect(send({ ...HELLO, attachments: [{ path: 'a.bin' }] })).rejects.toThrow()
    await expect.poll(leftOpen).toBe(0)
    expect(server.deliveries).toEqual([])
  })
})

describe('a file that changes between the look and the send', () => {
  async function composed(path: string, root: string, size: number): Promise<Readable> {
    const rules = rulesOf({ attachments: { root } }).attachments
    const opened = await openSource(
      { from: 'path', path },
      { rules, room: size, signal: never, where: 'attachments[0]' },
    )
    return opened.content as Readable
  }

  it('is not read past its limit', async () => {
    const root = await folder({ a: 'a' })
    const stream = await composed('a', root, 10)
    await truncate(join(root, 'a'), 100_000)
    await expect(stream.toArray()).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  })

  it('is not read outside of the root', async () => {
    const root = await folder({ a: 'a' })
    const stream = await composed('a', root, 10)
    await rename(join(root, 'a'), join(root, 'b'))
    await symlink(join(await folder({ s: 's' }), 's'), join(root, 'a'))
    await expect(stream.toArray()).rejects.toMatchObject({ code: 'ATTACHMENT_REFUSED' })
  })

  it('is not even open until it is read', async () => {
    const root = await folder({ a: 'a' })
    const stream = await composed('a', root, 10)
    await rm(join(root, 'a'))
    await expect(stream.toArray()).rejects.toMatchObject({ code: 'ATTACHMENT_MISSING' })
  })
})
