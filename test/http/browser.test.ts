/** The dashboard in a real browser, over a real runner and a real SMTP server. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask, type SubmitOptions } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { createHandler } from 'background-runner/http'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { findChromium, launch } from '../support/browser.js'
import { type SmtpServer, startSmtpServer } from '../support/smtp-server.js'

const executable = findChromium()
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** ms: an action waits for its element for so long. */
const PATIENCE = 8_000

/** Gates that a test opens: what runs until then is seen as running. */
const gates = new Map<string, () => void>()

function createTasks(smtp: SmtpServer) {
  return {
    email: emailTask({ transport: smtp.url, from: 'app@example.com', retry: { attempts: 1 } }),
    note: defineTask({ retry: { attempts: 1 }, run: async (input: unknown) => input as never }),
    fails: defineTask({
      retry: { attempts: 1 },
      run: async () => {
        throw new Error('the disk is full')
      },
    }),
    slow: defineTask({
      run: async (_input: unknown, { id, signal, progress }) => {
        progress(0.25)
        await new Promise<void>((resolve, reject) => {
          gates.set(id, resolve)
          signal.addEventListener('abort', () => reject(signal.reason))
        })
      },
    }),
  }
}
type Tasks = ReturnType<typeof createTasks>
type Runner = BackgroundRunner<Tasks>

describe.skipIf(executable === undefined)('the dashboard', { timeout: 30_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch(executable as string)
  }, 30_000)
  afterAll(() => browser?.close())

  let undo: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const each of undo.reverse()) await each()
    undo = []
  })

  interface Opened {
    readonly page: Page
    readonly runner: Runner
    readonly smtp: SmtpServer
    readonly url: string
    /** What the browser complained of. */
    readonly complaints: string[]
    readonly restart: () => Promise<void>
  }

  async function opened(
    context: BrowserContextOptions = {},
    prepare?: (runner: Runner, smtp: SmtpServer) => Promise<unknown>,
  ): Promise<Opened> {
    const smtp = await startSmtpServer()
    const runner: Runner = new BackgroundRunner({ tasks: createTasks(smtp), concurrency: 20 })
    const serve = (): Server => {
      // A new handler, as after a restart of the process.
      const handler = createHandler(runner, {
        authorize: () => ['read', 'submit', 'manage'],
        submit: ['email', 'note', 'slow'],
        basePath: '/ops/tasks',
      })
      return createServer(getRequestListener(handler))
    }
    let server = serve().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const stop = async (): Promise<void> => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
    undo.push(
      () => smtp.close(),
      () => runner.close({ deadline: 0, drain: false }),
      () => stop(),
    )
    await prepare?.(runner, smtp)
    const tab = await browser.newContext({
      viewport: { width: 1280, height: 900 },
      reducedMotion: 'reduce',
      ...context,
    })
    undo.push(() => tab.close())
    const page = await tab.newPage()
    page.setDefaultTimeout(PATIENCE)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on('request', (request) => {
      if (!request.url().startsWith(`http://127.0.0.1:${port}/ops/tasks`) && !request.url().startsWith('data:'))
        complaints.push(`asked for ${request.url()}`)
    })
    // Without a slash at its end: the server leads to it.
    const url = `http://127.0.0.1:${port}/ops/tasks`
    await page.goto(url)
    await page.locator('[data-live=open]').waitFor()
    return {
      page,
      runner,
      smtp,
      url,
      complaints,
      restart: async () => {
        await stop()
        await page.locator('[data-live=connecting]').waitFor()
        server = serve().listen(port, '127.0.0.1')
        await once(server, 'listening')
      },
    }
  }

  const row = (page: Page, id: string) => page.locator(`tr[data-task="${id}"]`)
  const count = (page: Page, state: string, n: number) =>
    page.locator(`.tile[data-state=${state}] [data-count="${n}"]`).waitFor()
  const confirm = (page: Page, name: string | RegExp) => page.getByRole('dialog').getByRole('button', { name }).click()

  it('submits a mail from a form, and shows it live to its end', async () => {
    const { page, smtp, complaints } = await opened()
    let go = (): void => {}
    smtp.hooks.data = () =>
      new Promise((resolve) => {
        go = () => resolve(undefined)
      })
    await page.getByRole('link', { name: 'Submit' }).click()
    await page.getByLabel('Task', { exact: true }).selectOption('email')
    await page.getByLabel('To', { exact: true }).fill('ada@example.com')
    await page.getByLabel('Subject').fill('Hello')
    await page.getByLabel('Text').fill('Hello Ada')
    await page.getByRole('button', { name: 'Submit' }).click()
    await page.locator('article.task[data-state=running]').waitFor()
    await expect.poll(() => smtp.connections.open).toBe(1)
    await expect.poll(() => String(go)).toContain('resolve')
    go()
    await page.locator('article.task[data-state=succeeded]').waitFor()
    await page.locator('tr[data-outcome=sent]', { hasText: 'ada@example.com' }).waitFor()
    expect(smtp.mailbox('ada@example.com')).toHaveLength(1)
    expect(complaints).toEqual([])
  })

  it('shows why a mail failed, recipient by recipient, and retries it', async () => {
    let tracked = 0
    const server = createServer((_request, response) => {
      tracked++
      response.end()
    }).listen(0, '127.0.0.1')
    // To be connected to says enough: that the mail is being read, and from where.
    server.on('connection', () => tracked++)
    await once(server, 'listening')
    undo.push(async () => server.close())
    const tracker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { page, runner, smtp, complaints } = await opened({}, async (runner, smtp) => {
      smtp.hooks.rcpt = ({ address }) => (address === 'bob@example.com' ? '550 5.1.1 no such mailbox' : undefined)
      const html = `<h1>Hi</h1><iframe src="${tracker}/f"></iframe><LINK rel="preconnect" href="${tracker}"><img src="${tracker}/x.png"><link rel="stylesheet" href="${tracker}/x.css"><script>parent.hacked = 1</script>`
      await runner.submit('email', { to: ['bob@example.com'], subject: 'Hi', text: 'Hello', html }, { id: 'mail' })
      await runner.wait('mail')
    })
    await row(page, 'mail').getByRole('link').first().click()
    await page.locator('article.task[data-state=failed]').waitFor()
    await page.locator('tr[data-outcome=rejected]', { hasText: '550' }).waitFor()
    await page.getByRole('button', { name: 'HTML' }).click()
    const frame = page.frameLocator('iframe.preview')
    expect(await frame.getByRole('heading', { name: 'Hi' }).textContent()).toBe('Hi')
    expect(await page.evaluate('window.hacked')).toBeUndefined()
    delete smtp.hooks.rcpt
    await page.getByRole('button', { name: 'Retry…' }).click()
    await confirm(page, 'Retry the task')
    await page.locator('article.task[data-state=succeeded]').waitFor()
    expect(smtp.mailbox('bob@example.com')).toHaveLength(1)
    expect((await runner.status('mail'))?.state).toBe('succeeded')
    // What the mail would fetch and run, its policy stops.
    expect(tracked).toBe(0)
    expect(complaints.filter((each) => !each.includes(tracker) && !/sandbox/.test(each))).toEqual([])
  })

  it('filters by state, name and tag, and the address holds the filter', async () => {
    const { page, complaints } = await opened({}, async (runner) => {
      await runner.submitMany('note', ['a', 'b'], { tags: ['red'] })
      await runner.submitMany('fails', [undefined, undefined], { tags: ['red', 'blue'] })
      await runner.onIdle()
    })
    await expect.poll(() => page.locator('tbody tr[data-task]').count()).toBe(4)
    await page.locator('.tile[data-state=failed]').click()
    await expect.poll(() => page.locator('tbody tr[data-task]').count()).toBe(2)
    await page.locator('.tile[data-state=failed]').click()
    await page.getByLabel('Filter by task name').fill('note')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.locator('tbody tr[data-task]').count()).toBe(2)
    await page.reload()
    await expect.poll(() => page.locator('tbody tr[data-task]').count()).toBe(2)
    await page.goto(`${page.url().split('#')[0]}#/?tags=blue`)
    await expect.poll(() => page.locator('tbody tr[data-state=failed]').count()).toBe(2)
    expect(complaints).toEqual([])
  })

  it('cancels a running task, with a reason', async () => {
    const { page, runner, complaints } = await opened()
    const { id } = await runner.submit('slow', undefined)
    await row(page, id).and(page.locator('[data-state=running]')).waitFor()
    await row(page, id).locator('progress').waitFor()
    await row(page, id).getByRole('link').first().click()
    await page.getByRole('button', { name: 'Cancel…' }).click()
    await page.getByLabel('Reason').fill('not needed')
    await confirm(page, 'Cancel the task')
    await page.locator('article.task[data-state=cancelled]').waitFor()
    await page.getByText('the task was cancelled: not needed').first().waitFor()
    expect((await runner.status(id))?.state).toBe('cancelled')
    expect(complaints).toEqual([])
  })

  it('retries all that failed, and what is selected', async () => {
    const { page, runner } = await opened({}, async (runner) => {
      await runner.submitMany(
        'fails',
        Array.from({ length: 30 }, () => undefined),
      )
      await runner.onIdle()
    })
    await count(page, 'failed', 30)
    await page.getByRole('button', { name: 'Pause…' }).click()
    await confirm(page, 'Pause')
    await page.getByText('Paused', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Retry all that match…' }).click()
    await confirm(page, 'Retry all')
    await count(page, 'queued', 30)
    expect((await runner.counts()).queued).toBe(30)
    await page.getByLabel('Select all tasks on this page').check()
    await page
      .getByRole('toolbar')
      .getByRole('button', { name: /^Cancel/ })
      .click()
    await confirm(page, /^Cancel 30/)
    await count(page, 'cancelled', 30)
    await page.getByRole('button', { name: 'Resume…' }).click()
    await confirm(page, 'Resume')
    await expect.poll(() => page.getByText('Paused', { exact: true }).count()).toBe(0)
  })

  it('stays quick with 10 000 tasks, and while 2 000 a second go by', async () => {
    const { page, runner, complaints } = await opened({}, async (runner) => {
      await runner.submitMany(
        'note',
        Array.from({ length: 10_000 }, (_, at) => at),
        { delay: '1h' },
      )
    })
    await count(page, 'scheduled', 10_000)
    const rows = page.locator('tbody tr[data-task]')
    await expect.poll(() => rows.count()).toBe(100)
    await page.getByRole('button', { name: 'Older' }).click()
    await expect.poll(() => page.url()).toContain('cursor')
    await expect.poll(() => rows.count()).toBe(100)
    await page.getByRole('link', { name: 'Newest' }).click()
    // The longest time that the page could not answer, ms.
    await page.evaluate(() => {
      const scope = globalThis as unknown as { longest: number }
      scope.longest = 0
      let before = performance.now()
      setInterval(() => {
        const now = performance.now()
        scope.longest = Math.max(scope.longest, now - before)
        before = now
      }, 10)
    })
    for (let part = 0; part < 20; part++) {
      await runner.submitMany(
        'note',
        Array.from({ length: 200 }, () => 'x'),
      )
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await count(page, 'succeeded', 4_000)
    expect(await rows.count()).toBeLessThanOrEqual(100)
    const longest = (await page.evaluate('globalThis.longest')) as number
    // A generous bound: what redraws everything for each event blocks for seconds.
    expect(longest).toBeLessThan(1_500)
    expect(complaints).toEqual([])
  })

  it('comes back by itself after the server was away, and knows what happened meanwhile', async () => {
    const { page, runner, restart } = await opened()
    const { id } = await runner.submit('slow', undefined)
    await row(page, id).and(page.locator('[data-state=running]')).waitFor()
    await restart()
    gates.get(id)?.()
    await runner.wait(id)
    await page.locator('[data-live=open]').waitFor({ timeout: 20_000 })
    await row(page, id).and(page.locator('[data-state=succeeded]')).waitFor()
  })

  it('is used by the keyboard alone', async () => {
    const { page, runner } = await opened({}, async (runner) => {
      await runner.submit('fails', undefined, { id: 'first' })
      await runner.wait('first')
    })
    await row(page, 'first').waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await page.locator('article.task[data-state=failed]').waitFor()
    for (let tab = 0; tab < 20; tab++) {
      await page.keyboard.press('Tab')
      if ((await page.evaluate('document.activeElement.textContent')) === 'Retry…') break
    }
    await runner.pause()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    // Enter alone confirms nothing.
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Back')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.locator('article.task[data-state=queued]').waitFor()
    // The event may be here before the answer, on which the dialog closes.
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.keyboard.press('Escape')
    await row(page, 'first').waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('nothing')
    await page.keyboard.press('Enter')
    await page.getByText('No task matches.').waitFor()
  })

  describe('what a stranger has put in', () => {
    const NASTY = [
      '<script>globalThis.hacked = 1</script>',
      '</script><script>globalThis.hacked = 2</script>',
      '<img src=x onerror="globalThis.hacked = 3">',
      '"><svg onload=globalThis.hacked=4>',
      'javascript:globalThis.hacked=5',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: for who takes it for a template
      '${globalThis.hacked=6}{{constructor.constructor("globalThis.hacked=7")()}}',
      "' onmouseover='globalThis.hacked=8",
      '\u202egnp.exe\u2066\u0000\u001b[31m\u0007',
      '&lt;b&gt;&#x3c;script&#x3e;',
      `<iframe srcdoc="<script>parent.hacked=9</script>"></iframe>`,
    ]

    it('does nothing, wherever it is shown', { timeout: 60_000 }, async () => {
      const all = NASTY.join('\n')
      const { page, runner, complaints } = await opened({}, async (runner) => {
        const options = (at: number): SubmitOptions => {
          const text = NASTY[at] as string
          const label = text.replace(/[\0-\x1f]/g, '')
          return { id: `n${at}`, key: label, tags: [label], metadata: { [text]: text } }
        }
        for (const [at, text] of NASTY.entries())
          await runner.submit('note', { [text]: [text, { [text]: text }] }, options(at))
        await runner.submit('note', 'x'.repeat(1_000_000), { id: 'long' })
        await runner.submit('note', all, { id: 'all' })
        await runner.submit('email', { to: 'a@example.com', subject: 'x <b>', text: all, html: all }, { id: 'mail' })
        await runner.schedule('nightly', { task: 'note', input: all, every: '1h' })
        await runner.submit('slow', undefined, { id: 'slow' })
        await runner.cancel('slow', { reason: all }).catch(() => {})
        await runner.onIdle()
      })
      for (const id of [...NASTY.keys()].map((at) => `n${at}`).concat('long', 'all', 'mail', 'slow')) {
        await page.goto(`${page.url().split('#')[0]}#/tasks/${id}`)
        await page.locator('article.task[data-state]').waitFor()
        await page.mouse.move(300, 300)
      }
      await page.goto(`${page.url().split('#')[0]}#/tasks/mail`)
      await page.getByRole('button', { name: 'HTML' }).click()
      await page.locator('iframe.preview').waitFor()
      for (const hash of [
        '#/schedules',
        '#/submit',
        '#/',
        `#/?names=${encodeURIComponent(NASTY[0] as string)}&tags=${encodeURIComponent(NASTY[2] as string)}`,
        `#/tasks/${encodeURIComponent(NASTY[2] as string)}`,
        '#/tasks/%zz',
        `#${NASTY[0]}`,
      ]) {
        await page.goto(`${page.url().split('#')[0]}${hash}`)
        await page.locator('h1').first().waitFor()
        await page.waitForTimeout(100)
      }
      for (const frame of page.frames())
        expect(await frame.evaluate('globalThis.hacked').catch(() => undefined)).toBeUndefined()
      expect(await page.locator('a[href^="javascript:" i]').count()).toBe(0)
      expect(await page.locator('img, script:not([src])').count()).toBe(0)
      expect(complaints.filter((each) => !/sandbox|Content Security Policy|404/i.test(each))).toEqual([])
      expect((await runner.counts()).succeeded).toBeGreaterThan(NASTY.length)
    })
  })

  describe.each([
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['on a phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
  ] as [string, BrowserContextOptions][])('%s', (name, context) => {
    it('has nothing serious against it, and nothing beyond its edge', { timeout: 60_000 }, async () => {
      const { page, complaints } = await opened(context, async (runner, smtp) => {
        smtp.hooks.rcpt = ({ address }) => (address.startsWith('bob') ? '550 5.1.1 no such mailbox' : undefined)
        await runner.submit(
          'email',
          { to: ['ada@example.com', 'bob@example.com'], subject: 'Hi', text: 'Hello', html: '<p>Hello' },
          { id: 'mail', tags: ['welcome'] },
        )
        await runner.submitMany('note', ['a', 'b', 'c'], { tags: ['a', 'b'] })
        await runner.submit('fails', undefined)
        await runner.submit('slow', undefined, { id: 'running' })
        await runner.submit(
          'note',
          { deep: { a: [1, 2, { b: 'x'.repeat(300) }] } },
          { id: 'later', delay: '1h', priority: 3 },
        )
        await runner.schedule('nightly', { task: 'note', cron: '0 3 * * *', timezone: 'Europe/Berlin' })
        await Promise.all([runner.wait('mail')])
      })
      const background = await page.evaluate('getComputedStyle(document.body).backgroundColor')
      const [red = 0] = String(background).match(/\d+/g)?.map(Number) ?? []
      expect(name === 'dark' ? red < 60 : red > 200).toBe(true)
      for (const hash of [
        '#/',
        '#/tasks/mail',
        '#/tasks/later',
        '#/tasks/running',
        '#/schedules',
        '#/submit',
        'dialog',
      ]) {
        if (hash === 'dialog') {
          await page.goto(`${page.url().split('#')[0]}#/tasks/later`)
          await page.getByRole('button', { name: 'Cancel…' }).click()
          await page.getByRole('dialog').waitFor()
        } else {
          await page.goto(`${page.url().split('#')[0]}${hash}`)
          await page.locator('h1').first().waitFor()
          if (hash !== '#/submit') await page.locator('[data-task], [data-outcome], [data-schedule]').first().waitFor()
        }
        await page.evaluate(AXE)
        const { violations } = (await page.evaluate('axe.run()')) as {
          violations: { id: string; impact: string; nodes: { html: string }[] }[]
        }
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        expect([hash, serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 200))])]).toEqual([
          hash,
          [],
        ])
        const over = (await page.evaluate(
          'document.documentElement.scrollWidth - document.documentElement.clientWidth',
        )) as number
        expect([hash, over]).toEqual([hash, 0])
      }
      expect(complaints).toEqual([])
    })
  })

  it('keeps the theme that was chosen', async () => {
    const { page } = await opened({ colorScheme: 'light' })
    await page.getByLabel('Theme').selectOption('dark')
    const red = async (): Promise<number> =>
      Number((String(await page.evaluate('getComputedStyle(document.body).backgroundColor')).match(/\d+/) ?? [])[0])
    expect(await red()).toBeLessThan(60)
    await page.reload()
    await expect.poll(red).toBeLessThan(60)
  })

  it('shows who may only look no more than that', async () => {
    const runner = new BackgroundRunner({ tasks: { note: defineTask({ run: async () => {} }) } })
    const server = createServer(getRequestListener(createHandler(runner, { authorize: () => ['read'] })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const tab = await browser.newContext()
    undo.push(
      async () => {
        server.close()
        server.closeAllConnections()
      },
      () => runner.close({ deadline: 0 }),
      () => tab.close(),
    )
    await runner.submit('note', undefined, { id: 'a', delay: '1h' })
    const page = await tab.newPage()
    page.setDefaultTimeout(PATIENCE)
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/#/tasks/a`)
    await page.locator('article.task[data-state=scheduled]').waitFor()
    expect(await page.getByRole('button', { name: /Cancel|Retry|Priority|Pause/ }).count()).toBe(0)
    expect(await page.getByRole('link', { name: 'Submit' }).count()).toBe(0)
  })
})
