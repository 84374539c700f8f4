let list: Promise<ReadonlySet<string>> | undefined;

/**
 * Passwords that many people use, in small letters: those of `@zxcvbn-ts/language-common`, gathered from leaks. Read when
 * first asked for; a process that takes no passwords does without.
 */
export function frequentPasswords(): Promise<ReadonlySet<string>> {
  list ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set(dictionary['passwords-common']));
  return list;
}
