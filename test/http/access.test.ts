/** Who calls: what is read from a header that a stranger wrote. */
import { accessToken } from 'background-runner/http'
import { expect, it } from 'vitest'

it('reads a header of a stranger in one pass, however it is written', () => {
  const authorize = accessToken('s3cret')
  // Tried again from each of its spaces it would take hours.
  const authorization = `Bearer a${' '.repeat(2_000_000)}a`
  expect(authorize(new Request('http://x', { headers: { authorization } }))).toBeUndefined()
  expect(authorize(new Request('http://x', { headers: { authorization: 'bearer  s3cret ' } }))).toEqual([
    'read',
    'submit',
    'manage',
  ])
})
