/** The public surface of `background-runner`, and nothing else. */
export type { Clock } from './clock.js'
export type { Duration } from './duration.js'
export type {
  AttemptWriter,
  CancelRequest,
  Capabilities,
  Engine,
  EngineAttempt,
  EngineHost,
  EngineSettings,
  Enqueued,
  ListPage,
  ListQuery,
  NewTask,
  Outcome,
  RetentionPolicy,
  StopReason,
  StopReport,
  StopRequest,
  TaskCounts,
  TaskEvent,
} from './engine.js'
export {
  BackgroundRunnerError,
  EngineError,
  type InputIssue,
  InvalidInputError,
  InvalidStateError,
  MissingDependencyError,
  NonRetryableError,
  QueueFullError,
  RetryLaterError,
  RunnerClosedError,
  TaskCancelledError,
  TaskFailedError,
  TaskNotFoundError,
  TaskTimeoutError,
  UnknownTaskError,
  UnsupportedByEngineError,
  WaitTimeoutError,
} from './errors.js'
export type { RunnerEvents } from './events.js'
export type { Explanation, Reason } from './explanation.js'
export type { TaskHandle, WaitOptions } from './handle.js'
export type { Json } from './json.js'
export type { LimitKey, NameLimits, Requirements, TaskLimits } from './limits.js'
export { localEngine } from './local/local-engine.js'
export type { Admission, Store, StoreHost, StoreSettings } from './local/store.js'
export type { Logger } from './logger.js'
export { memory, type RunnerOptions } from './options.js'
export type { AttemptRecord, Hold, SerializedError, StoredTask, TaskRecord, TaskState } from './record.js'
export type { Backoff, RetryOptions, RetryPolicy } from './retry-policy.js'
export {
  BackgroundRunner,
  type CloseOptions,
  type CloseReport,
  type ListOptions,
  type SubmitArguments,
} from './runner.js'
export type { ScheduleRecord, ScheduleSpec } from './schedule.js'
export type { ScheduleOptions } from './schedules.js'
export type { StandardSchema } from './schema.js'
export type { SubmitOptions } from './submission.js'
export {
  defineTask,
  type InputOf,
  type OutputOf,
  type TaskContext,
  type TaskDefinition,
  type TaskMap,
  type TaskSettings,
} from './task.js'
