import assert from 'node:assert/strict'
import { runInNewContext } from 'node:vm'
import { describe, it } from 'vitest'
import { listMismatches, matches, show } from '../../src/testing/match.js'

const mail = { to: ['a@x', 'b@x'], subject: 'Hi there', body: { text: 'Hello', html: null }, size: 3 }

describe('a matcher', () => {
  it('is a part of an object, deeply', () => {
    assert.ok(matches(mail, {}))
    assert.ok(matches(mail, { subject: 'Hi there' }))
    assert.ok(matches(mail, { body: { text: 'Hello' } }))
    assert.ok(!matches(mail, { body: { text: 'hello' } }))
    assert.ok(!matches(mail, { cc: 'c@x' }))
    assert.ok(!matches('text', { length: 4 }))
    assert.ok(!matches(undefined, {}))
  })

  it('says by undefined that something is absent', () => {
    assert.ok(matches(mail, { cc: undefined }))
    assert.ok(!matches(mail, { subject: undefined }))
    assert.ok(matches(mail, { body: { html: null } }))
    assert.ok(!matches(mail, { cc: null }))
  })

  it('looks at own properties only', () => {
    assert.ok(!matches({}, { toString: (value: unknown) => typeof value === 'function' }))
  })

  it('matches an array item by item, each by part, and all of them', () => {
    assert.ok(matches([{ a: 1, b: 2 }, 3], [{ a: 1 }, 3]))
    assert.ok(!matches([1, 2], [1]))
    assert.ok(!matches([1], [1, 2]))
    assert.ok(!matches({ 0: 1, length: 1 }, [1]))
    assert.ok(!matches([1], { 0: 1 }))
    assert.ok(matches(mail, { to: (to: string[]) => to.includes('b@x') }))
  })

  it('matches text by a RegExp, whatever that matched before', () => {
    const sticky = /Hi/g
    for (let i = 0; i < 3; i++) assert.ok(matches(mail, { subject: sticky }))
    assert.ok(!matches({ subject: 5 }, { subject: /5/ }))
    assert.ok(matches('text', /^te/))
  })

  it('matches what a predicate says, and refuses one that answers with a promise', () => {
    assert.ok(matches(mail, { size: (size: number) => size > 2 }))
    assert.ok(!matches(mail, { size: (size: number) => size > 3 }))
    assert.throws(() => matches(mail, { size: async () => true }), /must answer at once/)
    assert.throws(() => matches(mail, { cc: (cc: string) => cc.length > 2 }), TypeError)
  })

  it('asks an asymmetric matcher', () => {
    const any = { asymmetricMatch: (value: unknown): boolean => typeof value === 'number' }
    assert.ok(matches(mail, { size: any }))
    assert.ok(!matches(mail, { subject: any }))
  })

  it('compares bytes and dates by content', () => {
    assert.ok(matches({ bytes: Buffer.from('ab') }, { bytes: new Uint8Array([97, 98]) }))
    assert.ok(!matches({ bytes: Buffer.from('ab') }, { bytes: Buffer.from('abc') }))
    assert.ok(matches({ at: new Date(5) }, { at: new Date(5) }))
    assert.ok(!matches({ at: new Date(5) }, { at: new Date(6) }))
  })

  it('is the same from another realm', () => {
    const foreign = runInNewContext('({ subject: /Hi/, body: { text: "Hello" }, to: ["a@x", "b@x"] })') as object
    assert.ok(matches(mail, foreign))
    assert.ok(matches(runInNewContext('({ a: { b: [1] } })'), { a: { b: [1] } }))
  })

  it('does not tell 0 from -0, and knows NaN', () => {
    assert.ok(matches({ n: 0 }, { n: -0 }))
    assert.ok(matches(Number.NaN, Number.NaN))
  })
})

describe('a list of mismatches', () => {
  it('shows each candidate and where it differs', () => {
    assert.equal(
      listMismatches([mail, { to: [] }], { to: ['a@x', /c/], body: { text: 'Hello' }, 'x-y': 1 }),
      `
  1. { to: [ 'a@x', 'b@x' ], subject: 'Hi there', body: { text: 'Hello', html: null }, size: 3 }
     to[1]: expected /c/, got 'b@x'; ["x-y"]: expected 1, got undefined
  2. { to: [] }
     to: expected [ 'a@x', /c/ ], got []; body: expected { text: 'Hello' }, got undefined; ["x-y"]: expected 1, got undefined`,
    )
  })

  it('is cut after ten', () => {
    const text = listMismatches(
      Array.from({ length: 12 }, (_, i) => i),
      -1,
      (i) => `number ${i}: `,
    )
    assert.equal(text.split('\n').length, 22)
    assert.match(text, / {2}10\. number 9: 9\n {5}expected -1, got 9\n {2}… and 2 more$/)
  })

  it('shows a predicate by its source, if that is short', () => {
    assert.equal(show({ size: (size: number) => size > 2 }), '{ size: (size) => size > 2 }')
    const long = (): boolean =>
      'a very long text that nobody wants to read in a message'.length > 'and even longer'.length
    assert.equal(show([long]), '[ a predicate long ]')
  })
})
