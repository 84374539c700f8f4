import { UnprocessableEntityException } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';

/** What breaking each constraint of `app_users` means, for the person who typed it in. */
const REFUSALS = {
  app_users_display_name_ck: {
    code: 'DISPLAY_NAME_REFUSED',
    field: 'displayName',
    message: 'displayName must be 1 to 80 characters long',
  },
  app_users_date_of_birth_ck: {
    code: 'DATE_OF_BIRTH_REFUSED',
    field: 'dateOfBirth',
    message: 'dateOfBirth must lie between 1900-01-01 and yesterday',
  },
  app_users_locale_ck: {
    code: 'LOCALE_REFUSED',
    field: 'locale',
    message: 'locale is not one that the portal speaks',
  },
} as const;

/** A profile that the database does not accept: a 422 of the same form as the package's own errors. */
export class ProfileRefusedError extends UnprocessableEntityException {
  constructor(
    readonly code: string,
    readonly field: string,
    message: string,
    cause: unknown,
  ) {
    super({ statusCode: 422, code, message, details: { fields: [field] } }, { cause });
    this.message = message;
  }
}

/** Runs a write of an AppUser. The rules stay constraints; here they only get words. */
export async function explainingRefusals<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    const { constraint } = error instanceof QueryFailedError ? (error.driverError as { constraint?: string }) : {};
    const refusal = REFUSALS[constraint as keyof typeof REFUSALS] as
      | (typeof REFUSALS)[keyof typeof REFUSALS]
      | undefined;
    if (refusal === undefined) throw error;
    throw new ProfileRefusedError(refusal.code, refusal.field, refusal.message, error);
  }
}
