/** The public surface of `background-runner/testing`, and nothing else. */
export { type EngineUnderTest, engineConformance, type Framework } from './conformance/engine.js'
