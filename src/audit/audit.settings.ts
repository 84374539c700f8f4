/** What the module's options say about the activity log. */
export class AuditSettings {
  /** @param sealKeys - Newest first: it seals, all of them verify. */
  constructor(readonly sealKeys: readonly string[]) {}
}
