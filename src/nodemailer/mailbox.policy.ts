/** One plain address: nothing in it can end a header or an SMTP command, or name a second receiver. */
const MAILBOX = /^[^\s"(),:;<>@[\\\]\p{C}]{1,64}@[^\s"(),:;<>@[\\\]\p{C}]{1,253}$/u;

export function isMailbox(address: unknown): address is string {
  return typeof address === 'string' && MAILBOX.test(address);
}

/** What breaks lines, steers a terminal, or turns the direction of writing. */
const UNRULY = /[\s\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]+/gu;

/** One line, whatever was given. */
export function oneLine(text: string): string {
  return text.replaceAll(UNRULY, ' ').trim();
}
