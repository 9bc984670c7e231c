import { createVerify, generateKeyPairSync } from 'node:crypto'
import type { InvalidInputError } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { describe, expect, it } from 'vitest'
import { receive } from '../support/received.js'

describe('a signature', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const dkim = { domainName: 'example.com', keySelector: 'mail', privateKey }

  /** Names of the headers that it covers, if it is right. */
  function signedBy(raw: string): string[] {
    const head = raw.slice(0, raw.indexOf('\r\n\r\n'))
    const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
    const signature = lines.find((line) => /^dkim-signature:/i.test(line)) ?? ''
    const names = (/\bh=([^;]*)/.exec(signature)?.[1] ?? '').split(':').map((name) => name.trim())
    const relaxed = (line: string): string => {
      const [name = '', ...value] = line.split(':')
      return `${name.toLowerCase()}:${value
        .join(':')
        .replace(/[ \t]+/g, ' ')
        .trim()}`
    }
    const signed = names.map((name) => lines.findLast((line) => line.toLowerCase().startsWith(`${name}:`)) ?? '')
    const [, unsigned = '', base64 = ''] = /^(.*\bb=)(.*)$/.exec(signature) ?? []
    const data = [...signed, unsigned].map(relaxed).join('\r\n')
    const isRight = createVerify('RSA-SHA256')
      .update(data, 'latin1')
      .verify(publicKey, base64.replace(/\s/g, ''), 'base64')
    return isRight ? names : []
  }

  it('covers what is said of unsubscribing (RFC 8058)', async () => {
    const listUnsubscribe = { url: 'https://example.com/u', oneClick: true }
    const { raw } = await receive({ listUnsubscribe, html: '<p>Grüße</p>' }, { dkim })
    expect(signedBy(raw)).toEqual(
      expect.arrayContaining(['from', 'subject', 'list-unsubscribe', 'list-unsubscribe-post']),
    )
  })

  it('covers what its options say', async () => {
    const named = await receive(
      { listUnsubscribe: { url: 'https://x', oneClick: true } },
      { dkim: { ...dkim, headerFieldNames: 'from:to' } },
    )
    expect(signedBy(named.raw)).toEqual(['from', 'to'])
    const plain = await receive({}, { dkim })
    expect(signedBy(plain.raw)).toEqual(expect.arrayContaining(['from', 'to', 'subject', 'message-id', 'date']))
    expect((await receive({})).raw).not.toMatch(/^DKIM-Signature/im)
  })

  it.each<[string, unknown, string[]]>([
    ['none', 'yes', ['dkim']],
    ['empty', {}, ['dkim.domainName', 'dkim.keySelector', 'dkim.privateKey']],
    ['without a key', { ...dkim, privateKey: undefined }, ['dkim.privateKey']],
    ['with a key that is cut off', { ...dkim, privateKey: privateKey.slice(0, 500) }, ['dkim.privateKey']],
    ['with the public key', { ...dkim, privateKey: publicKey }, ['dkim.privateKey']],
    [
      'with a key of another kind',
      { ...dkim, privateKey: generateKeyPairSync('ed25519').privateKey },
      ['dkim.privateKey'],
    ],
    ['with a domain that ends its tag', { ...dkim, domainName: 'x; l=0' }, ['dkim.domainName']],
    ['with a selector that ends its tag', { ...dkim, keySelector: 'x\r\nBcc: a@x' }, ['dkim.keySelector']],
    ['with a hash that is no more taken', { ...dkim, hashAlgo: 'sha1' }, ['dkim.hashAlgo']],
    ['with headers that are none', { ...dkim, headerFieldNames: 'From;To' }, ['dkim.headerFieldNames']],
    ['with an unknown option', { ...dkim, selector: 'x' }, ['dkim.selector']],
    ['with no keys', { keys: [] }, ['dkim.keys']],
    ['with a bad key among several', { keys: [dkim, { ...dkim, privateKey: 'x' }] }, ['dkim.keys.1.privateKey']],
  ])('that is %s is refused when the task is defined', (_, options, expected) => {
    try {
      emailTask({ transport: 'smtp://localhost', from: 'a@x', dkim: options as typeof dkim })
      expect.unreachable()
    } catch (error) {
      expect((error as InvalidInputError).issues?.map(({ path }) => path.join('.'))).toEqual(expected)
    }
  })
})
