export { escapeHtml } from './html.policy.js';
export { smtpSender } from './smtp.sender.js';
export type { MailTransport, SmtpSenderOptions } from './smtp.options.js';
export type { MailContent, MailTemplate, MailTemplates } from './mail.templates.js';
