import { emailTask, smtpFromEnv } from 'background-runner/email'

const env = {
  MAIL_SERVER: 'smtp.example.com',
  MAIL_PORT: '587',
  MAIL_USE_TLS: 'true',
  MAIL_DEFAULT_SENDER: 'App <app@example.com>',
} // yours: process.env, the default

console.log(smtpFromEnv(env))
emailTask({ from: 'nobody@example.com', ...smtpFromEnv(env) }) // the first `from` is for where the sender is not set

try {
  smtpFromEnv({ ...env, MAIL_PORT: 'five', MAIL_PASSWORD: 'secret' })
} catch (error) {
  console.log((error as Error).message)
}
