/** A third party's test of its engine, under node:test: compiled and run as ESM and as CommonJS. */
import { describe, it } from 'node:test'
import { memory } from 'background-runner'
import { engineConformance } from 'background-runner/testing'

const { capabilities } = memory()
engineConformance({ describe, it }, { name: 'memory', create: () => memory(), capabilities })
