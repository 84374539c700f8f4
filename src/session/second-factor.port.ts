import type { EntityManager } from 'typeorm';
import type { SecondFactorEnrolmentRequiredError, SecondFactorRequiredError } from '../errors/nest-auth.error.js';

/** Somebody who has shown the first factor, and whom the database says to have a second one. */
export interface SecondFactorDemand {
  readonly userId: string;
  /** Under which stamp the first one was shown. */
  readonly stamp: number;
  /** The tenant that was named; null for none. */
  readonly tenantId: string | null;
  /** What the user has enrolled; nothing for somebody who has to enrol first. */
  readonly kinds: readonly string[];
}

/** Who asks for second factors. */
export interface SecondFactorPort {
  /**
   * Writes down a challenge that stays, whatever becomes of the caller's transaction, and answers the error with it. Of a
   * user whom only that transaction has made it throws the same code, without a challenge.
   */
  challenge(
    manager: EntityManager | undefined,
    demand: SecondFactorDemand,
  ): Promise<SecondFactorRequiredError | SecondFactorEnrolmentRequiredError>;
}
