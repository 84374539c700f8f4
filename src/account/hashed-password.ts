declare const hashed: unique symbol;

/** A password hash, of `PasswordService.hash` or taken by its `importHash`. A plain string does not pass for one. */
export type HashedPassword = { readonly [hashed]: true; readonly phc: string };
