/** As conformance.ts, under Jest: in a realm of its own, with Jest's own describe and it. */
const { memory } = require('background-runner')
const { engineConformance } = require('background-runner/testing')

const { capabilities } = memory()
engineConformance({ describe, it }, { name: 'memory', create: () => memory(), capabilities })
