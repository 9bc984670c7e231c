/** Standard Schema (standardschema.dev, version 1), reduced to what is used here: zod, valibot and arktype all speak it. */
import { type InputIssue, InvalidInputError } from './errors.js'
import { isThenable } from './thenable.js'

/** Any schema of a library that implements Standard Schema v1. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type SchemaInput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input']
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output']

/** A value that a schema accepted. */
export interface Parsed {
  readonly value: unknown
}

/**
 * What the schema makes of `value`; a promise only if the schema is asynchronous.
 *
 * @throws {InvalidInputError} (or rejects with it) with all issues and their paths
 */
export function parse(schema: StandardSchema, value: unknown, subject: string): Parsed | Promise<Parsed> {
  const result = schema['~standard'].validate(value)
  return isThenable(result) ? Promise.resolve(result).then((each) => judge(each, subject)) : judge(result, subject)
}

function judge(result: StandardResult<unknown>, subject: string): Parsed {
  if (result.issues === undefined) return { value: result.value }
  throw new InvalidInputError(subject, Array.from(result.issues, toIssue))
}

function toIssue(issue: StandardIssue): InputIssue {
  const path = Array.from(issue.path ?? [], (step) => {
    const key = typeof step === 'object' ? step.key : step
    return typeof key === 'number' ? key : String(key)
  })
  return { message: issue.message, path }
}
