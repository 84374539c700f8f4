import { Controller, Get, Header, Inject } from '@nestjs/common';
import { Permissions, PlatformOnly, SessionOnly } from 'nest-auth-identity';
import type { CapturingSender } from 'nest-auth-identity/testing';

/** Where a mail server would be, on a machine that has none. */
export const CAPTURED_MAILS = Symbol('CAPTURED_MAILS');

/**
 * The mails that were not sent, with their links: who can read them can be anybody. It is there only where the portal
 * has no mail server, and that is on one's own machine.
 */
@PlatformOnly()
@Controller('captured-mails')
export class CapturedMailController {
  constructor(@Inject(CAPTURED_MAILS) private readonly mails: CapturingSender) {}

  /** A link that resets a password is worth as much as whoever it is for: everything, and no program. */
  @SessionOnly()
  @Permissions('*')
  @Get()
  @Header('cache-control', 'no-store')
  list() {
    return this.mails.sent.toReversed();
  }
}
